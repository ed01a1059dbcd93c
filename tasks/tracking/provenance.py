"""Where a run comes from: which repository and commit, which data, which values."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remint.core.dotted import dotted
from tasks.stage.git import head

VALUE_LENGTH = 6000  # characters of a parameter's value; MLflow's limit


def repository_root(start: Path | None = None) -> Path:
    """Return the folder that holds dvc.yaml; from inside `.dvc/tmp/exps`, that of the user's copy.

    Experiments run in a copy that DVC deletes afterwards: nothing may be kept there.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if folder.name == "exps" and folder.parent.name == "tmp" and folder.parts[-3] == ".dvc":
            return folder.parents[2]
    return next((f for f in (here, *here.parents) if (f / "dvc.yaml").is_file()), here)


def provenance(stage: str, deps: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a run: stage, commit, data, and what DVC says of itself."""
    commit, changed = head(Path.cwd())
    tags = {"stage": stage, "git.commit": commit, "git.dirty": str(changed).lower()}
    tags |= {f"data.{name}": fingerprint for name, fingerprint in deps.items()}
    tags |= {
        f"dvc.{key.lower()}": os.environ.get(f"DVC_{key}", "")
        for key in ("STAGE", "EXP_NAME", "EXP_BASELINE_REV")
    }
    return {key: value for key, value in tags.items() if value}


def as_params(values: Mapping[str, Any]) -> dict[str, str]:
    """Return nested mappings as MLflow's parameters: dotted keys and text, other values as JSON."""
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, default=str)
        for key, value in dotted(values).items()
    }
    return {key: text[:VALUE_LENGTH] for key, text in texts.items()}
