"""Where a stage stands: in which repository, at which commit, on which data, with which values."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    tags = {"stage": stage, "git.commit": _git("rev-parse", "HEAD")}
    tags["git.dirty"] = str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower()
    tags |= {f"data.{name}": fingerprint for name, fingerprint in deps.items()}
    tags |= {
        f"dvc.{key.lower()}": os.environ.get(f"DVC_{key}", "")
        for key in ("STAGE", "EXP_NAME", "EXP_BASELINE_REV")
    }
    return {key: value for key, value in tags.items() if value}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested mappings as dotted keys and text, other values as JSON."""
    pairs: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            pairs |= flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            pairs[f"{prefix}{key}"] = text[:VALUE_LENGTH]
    return pairs
