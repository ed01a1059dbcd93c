"""The restorers that come with the package, and the choice among several by their channels."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "shipped"
CARD = "restorer.json"


def names() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted(file.parent.name for file in FOLDER.glob(f"*/{CARD}"))


def card(name: str) -> dict[str, Any]:
    """Return a model's restorer.json; `about` in it says what it is for."""
    values: dict[str, Any] = json.loads((FOLDER / name / CARD).read_text(encoding="utf-8"))
    return values


def members(folder: Path) -> list[Path]:
    """Return the folders of the models in a folder of several; a model's folder itself else."""
    if (folder / CARD).exists():
        return [folder]
    return sorted(file.parent for file in folder.glob(f"*/{CARD}")) or [folder]


def suited(folder: Path, channels: int) -> Path:
    """Return the model's folder: `folder` itself, or of the models in it the one for `channels`.

    Raises ValueError where a folder of models has none for them.
    """
    models = members(folder)
    if models == [folder]:
        return folder
    fitting = [
        model
        for model in models
        if json.loads((model / CARD).read_text(encoding="utf-8"))["channels"] == channels
    ]
    if not fitting:
        listed = ", ".join(model.name for model in models)
        raise ValueError(
            f"{folder}: none of {listed} is for images of {channels} channels; name another model"
        )
    return fitting[0]
