"""Which model a command uses; only a name in the registry costs the time to ask MLflow."""

from pathlib import Path
from typing import Literal

MODEL_HELP = "a model folder; or champion, challenger or previous of MLflow's registry, or a number"


def chosen_model(text: str, name: Literal["restorer", "generator"]) -> Path:
    """Return the folder that `text` means (see tasks.promotion.registry.model_folder)."""
    if Path(text).exists() or "/" in text.removeprefix("models:/"):
        return Path(text)
    from tasks.promotion.registry import model_folder

    return model_folder(text, name)
