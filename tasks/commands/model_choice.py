"""Which model a command uses; only a name in the registry costs the time to ask MLflow."""

from pathlib import Path
from typing import Literal

MODEL_HELP = "a model folder; or champion, challenger, previous or a number in MLflow's registry"


def chosen_model(text: str, name: Literal["restorer", "generator"]) -> Path:
    """Return the folder that `text` means (see tasks.promotion.registry.model_folder)."""
    if Path(text).exists() or ("/" in text and not text.startswith("models:/")):
        return Path(text)
    from tasks.promotion.registry import model_folder

    return model_folder(text, name)
