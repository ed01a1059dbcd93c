"""The code that a training began with: going on by other code would make a model of neither.

Each file counts that DVC reruns the stage for, so that a word in a comment counts, too: who knows
better insists with REMINT_OTHER_CODE=accept.
"""

import json
import os
from pathlib import Path

from remint.core.atomic import replaced_file
from remint.training.checkpoint import FACTS
from tasks.stage.standing import standing

NOTE = "code.json"
INSIST = "REMINT_OTHER_CODE"
LISTED = 5


def same_code(stage: str, unfinished: Path) -> None:
    """Note the code of a stage of the working folder's dvc.yaml beside its checkpoints.

    Raises ValueError with the files' names where checkpoints are there that other code made.
    """
    if not Path("dvc.yaml").is_file():
        return
    now = {name: made for name, made in standing(stage, Path.cwd()).items() if _is_code(name)}
    note = unfinished / NOTE
    if note.is_file() and _begun(unfinished) and os.environ.get(INSIST) != "accept":
        then = _noted(note)
        changed = sorted(n for n in then.keys() | now.keys() if then.get(n) != now.get(n))
        if changed:
            more = f" and {len(changed) - LISTED} more" if len(changed) > LISTED else ""
            raise ValueError(
                f"{unfinished} was begun by other code: {', '.join(changed[:LISTED])}{more}. Put "
                f"that back to go on, remove {unfinished} to start afresh, or go on with the code "
                f"as it stands by {INSIST}=accept in the environment"
            )
    unfinished.mkdir(parents=True, exist_ok=True)
    with replaced_file(note) as fresh:
        fresh.write_text(json.dumps(now, indent=1, sort_keys=True), encoding="utf-8")


def refuse_begun(unfinished: Path, but: str) -> None:
    """Raise ValueError where a model's folder holds an unfinished training other than `but`.

    It would be lost where the whole model is replaced.
    """
    begun = {path.name for path in unfinished.iterdir() if path.is_dir()} - {but}
    if begun:
        raise ValueError(
            f"{unfinished} holds a training that is not finished ({min(begun)}), which would be "
            f"lost; run it to its end first, or remove {unfinished}"
        )


def _begun(unfinished: Path) -> bool:
    """Tell whether a whole checkpoint is there; one that was being written has a hidden name."""
    return any(facts.parent.name.isdigit() for facts in unfinished.rglob(FACTS))


def _noted(note: Path) -> dict[str, str]:
    try:
        return dict(json.loads(note.read_text(encoding="utf-8")).items())
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{note}, which tells the code that this training began with, can't be read ({error}). "
            f"Remove {note.parent} to start afresh, or go on with the code as it stands by "
            f"{INSIST}=accept in the environment"
        ) from error


def _is_code(name: str) -> bool:
    return name.endswith(".py")
