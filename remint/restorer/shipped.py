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


def suited(folder: Path, channels: int) -> Path:
    """Return the model's folder: `folder` itself, or of the models in it the one for `channels`.

    Raises ValueError where a folder of models has none for them.
    """
    cards = {} if (folder / CARD).exists() else {f.parent: f for f in folder.glob(f"*/{CARD}")}
    if not cards:
        return folder
    fitting = [
        model
        for model, file in sorted(cards.items())
        if json.loads(file.read_text(encoding="utf-8"))["channels"] == channels
    ]
    if not fitting:
        listed = ", ".join(sorted(model.name for model in cards))
        raise ValueError(
            f"{folder}: none of {listed} is for images of {channels} channels; name another model"
        )
    return fitting[0]
