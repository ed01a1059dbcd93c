"""The section of the page about a training: its curves, and its samples at both ends."""

from typing import Any

from tasks.page.curves import Panel, panels, stages
from tasks.page.inputs import ModelFolder
from tasks.page.parts import ReportConfig, Section
from tasks.page.pictures import EmbeddedPicture, picture
from tasks.page.words import words


def training_section(
    model: ModelFolder | None, config: ReportConfig, anchor: str, title: str, samples_title: str
) -> list[Section]:
    """Return the learning curves of a model; nothing where it was not trained."""
    if model is None:
        return []
    data = {
        **curves(model, config.curve_points),
        "samples": samples(model, config.picture_pixels),
        "samples_title": samples_title,
        "card": model.card,
    }
    return [Section(anchor, title, "training.html", data)]


def curves(model: ModelFolder, points: int) -> dict[str, Any]:
    """Return what the template of learning curves needs."""
    if model.history is None or model.history.empty:
        return {"first": [], "rest": [], "stages": []}
    drawn: list[Panel] = panels(model.history, points)
    return {
        "first": drawn[:4],
        "rest": drawn[4:],
        "stages": list(map(words, stages(model.history))),
    }


def samples(model: ModelFolder, longest: int) -> list[tuple[str, EmbeddedPicture]]:
    """Return the first and the last sample grid with the images seen by then."""
    chosen = [model.samples[0], model.samples[-1]] if len(model.samples) > 1 else model.samples
    return [(f"{int(path.stem):,}", picture(path, 2 * longest)) for path in chosen]
