"""Which model a command uses; only a name in the registry costs the time to ask MLflow."""

from pathlib import Path
from typing import Literal

from remint.restorer import shipped
from tasks.stage.console import say

TRAINED = Path("data/models/restorer")
MODEL_HELP = "a model folder; or champion, challenger, previous or a number in MLflow's registry"


def chosen_restorer(text: str | None) -> Path:
    """Return the folder that `text` means: also a name that `remint models` lists.

    None: data/models/restorer where something was trained, else the models that come with Remint,
    a folder of which `shipped.suited` chooses one for each picture.
    """
    if text is None:
        return TRAINED if (TRAINED / shipped.CARD).exists() else shipped.FOLDER
    if text in shipped.names() and not Path(text).exists():
        return shipped.FOLDER / text
    return chosen_model(text, "restorer")


def champion_or_shipped() -> Path:
    """Return the champion's folder; where no model is champion yet, the models of the package."""
    from tasks.promotion.registry import Registry

    registry = Registry("restorer")
    if registry.find("champion") is None:
        say(f"no restorer is champion yet: {', '.join(shipped.names())} are used, for photographs")
        return shipped.FOLDER
    return registry.folder("champion")


def chosen_model(text: str, name: Literal["restorer", "generator"]) -> Path:
    """Return the folder that `text` means (see tasks.promotion.registry.model_folder)."""
    if Path(text).exists() or ("/" in text and not text.startswith("models:/")):
        return Path(text)
    from tasks.promotion.registry import model_folder

    return model_folder(text, name)
