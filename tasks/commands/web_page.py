"""The page of `remint web`: two tabs, laid out with gradio, which is imported here and in no other.

It asks no other host for anything: no fonts, no analytics, no look-ups.
"""

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from tasks.commands import web_work
from tasks.commands.plans import SUFFIXES
from tasks.commands.web_work import Model

ABOUT = (
    "The picture stays on this machine. The result keeps its name, format, EXIF and resolution, "
    "and is marked as enhanced by a model."
)
FILLING = (
    "Paint over what is to be filled, choose a model that was trained on holes (the ones for "
    "photographs were not), and press *Fill*. Every pixel without paint comes back bit for bit."
)
NO_GENERATOR = (
    "No generator is trained here yet. Train one with `make run`, then start `remint web` again."
)
FAIR = (
    "A trained generator draws new images. The same class and seed give the same image again; each "
    "file is marked as made by a model (IPTC trainedAlgorithmicMedia)."
)
KNOB = "Interpolation"
KNOB_INFO = "0: true to the pixels; 1: most detail, some of it invented"
DOUBT_INFO = "Of a whole picture: shows where the result may be wrong"
SHARE = "Way to the second seed"
SHARE_INFO = "0: the image of the seed; 1: that of the second seed"
BRUSH = gr.Brush(colors=["#ff00ff"], color_mode="fixed")  # in view on paper, sky and night alike
PAINTED = 520  # px: height of the picture to paint on


def build(folder: Path) -> gr.Blocks:
    """Return the page; what it makes is written below `folder`."""
    with gr.Blocks(
        title="Remint", analytics_enabled=False, delete_cache=(3600, 3600), fill_width=True
    ) as page:
        gr.Markdown("# Remint")
        with gr.Tab("Restore"):
            _restoring(folder)
        with gr.Tab("Mint"):
            _minting(folder)
    return page


def _restoring(folder: Path) -> None:
    choices = {model.title: model for model in web_work.models()}
    first = next(iter(choices.values()))
    gr.Markdown(ABOUT)
    with gr.Row():
        with gr.Column():
            picture = gr.File(label="Picture", file_types=list(SUFFIXES), elem_id="picture")
            model = gr.Dropdown(list(choices), value=first.title, label="Model", elem_id="model")
            knob = gr.Slider(0, 1, label=KNOB, info=KNOB_INFO, **_knob(first))
            doubt = gr.Checkbox(
                label="Map of doubt", info=DOUBT_INFO, elem_id="doubt", **_box(first)
            )
            start = gr.Button("Restore the whole picture", variant="primary", elem_id="restore")
            painted, fill = _painting()
        with gr.Column():
            results = _results()

    def fit(title: str) -> tuple[Any, Any]:
        return gr.update(**_knob(choices[title])), gr.update(**_box(choices[title]))

    def whole(source: str | None, title: str, share: float, sure: bool) -> Any:
        chosen = choices[title]
        return _restored(source, chosen, share, folder, doubt=sure and chosen.doubt)

    def filled(source: str | None, title: str, share: float, drawn: Any) -> Any:
        mask = _mask(drawn)
        if source is not None and (mask is None or not mask.any()):
            return _nothing("Paint over what is to be filled first.")
        return _restored(source, choices[title], share, folder, mask=mask)

    model.change(fit, model, [knob, doubt])
    picture.change(_dropped, picture, [painted, *results], show_progress="hidden")
    painted.clear(_canvas, picture, painted)  # its bin takes the picture away with the paint
    # One at a time, both together: what `restore` prints is caught from the whole process
    one = "restoring"
    start.click(whole, [picture, model, knob, doubt], results, concurrency_id=one)
    fill.click(filled, [picture, model, knob, painted], results, concurrency_id=one)


def _painting() -> tuple[gr.ImageEditor, gr.Button]:
    with gr.Accordion("Or fill parts of it", open=False, elem_id="fill"):
        gr.Markdown(FILLING)
        painted = gr.ImageEditor(
            show_label=False,
            brush=BRUSH,
            transforms=(),
            layers=False,
            sources=(),
            height=PAINTED,
            visible=False,
            elem_id="paint",
        )
        return painted, gr.Button("Fill what is painted", variant="primary", elem_id="filling")


def _results() -> list[Any]:
    """Lay out what `_restored` and `_nothing` return, in that order."""
    return [
        gr.ImageSlider(
            label="Before and after: pull the line",
            format="png",
            buttons=["fullscreen"],
            interactive=False,
            elem_id="slider",
        ),
        gr.DownloadButton("Download", interactive=False, elem_id="download"),
        gr.Image(
            label="Doubt: the brighter, the less sure",
            format="png",
            buttons=["fullscreen"],
            visible=False,
            elem_id="unsure",
        ),
        gr.Textbox(label="Notes", lines=2, interactive=False, elem_id="notes"),
    ]


def _knob(model: Model) -> dict[str, Any]:
    return {"value": model.knob or 0.0, "visible": model.knob is not None}


def _box(model: Model) -> dict[str, Any]:
    return {"value": False, "visible": model.doubt}


def _dropped(source: str | None) -> Any:
    """Return the picture to paint on, and no results: those were of another one."""
    try:
        return _canvas(source), *_nothing()
    except ValueError as error:
        return _canvas(None), *_nothing(f"{Path(str(source)).name} {error}")


def _canvas(source: str | None) -> Any:
    """Return the picture without paint. Raises ValueError for one that can't be read."""
    shown = None if source is None else web_work.preview(Path(source))
    return gr.update(value=shown, visible=shown is not None)


def _restored(
    source: str | None,
    model: Model,
    share: float,
    folder: Path,
    doubt: bool = False,
    mask: np.ndarray | None = None,
) -> Any:
    if source is None:
        return _nothing("Drop a picture first.")
    out = Path(tempfile.mkdtemp(dir=folder))
    knob = None if model.knob is None else share
    try:
        answer = web_work.restored(Path(source), model.folder, out, knob, doubt, mask)
    except (ValueError, OSError) as error:
        return _nothing(str(error))
    shown = gr.update(value=answer.doubt, visible=answer.doubt is not None)
    download = gr.update(value=str(answer.file), interactive=True)
    return (answer.before, answer.after), download, shown, answer.notes


def _nothing(sentence: str = "") -> Any:
    """Return empty results and the sentence, which is shown on top of the page too."""
    if sentence:
        gr.Warning(sentence)
    return None, gr.update(value=None, interactive=False), gr.update(visible=False), sentence


def _mask(painted: dict[str, Any] | None) -> np.ndarray | None:
    """Return bool [h, w] of what was painted, None where nothing was."""
    layers = (painted or {}).get("layers") or []
    masks = [layer[:, :, 3] > 0 for layer in layers if layer.ndim == 3 and layer.shape[2] == 4]
    return np.logical_or.reduce(masks) if masks else None


def _minting(folder: Path) -> None:
    names = web_work.class_names()
    if names is None:
        gr.Markdown(NO_GENERATOR)
        return
    gr.Markdown(FAIR)
    with gr.Row():
        with gr.Column():
            name = gr.Dropdown(names, value=names[0], label="Class", elem_id="class")
            seed = gr.Number(0, label="Seed", precision=0, elem_id="seed")
            other = gr.Number(1, label="Second seed", precision=0, elem_id="other")
            share = gr.Slider(0, 1, value=0, label=SHARE, info=SHARE_INFO, elem_id="share")
            start = gr.Button("Mint", variant="primary", elem_id="mint")
        with gr.Column():
            image = gr.Image(label="Minted", format="png", buttons=[], elem_id="minted")
            file = gr.DownloadButton("Download", interactive=False, elem_id="keep")

    def run(chosen: str, first: int | None, second: int | None, way: float) -> Any:
        try:
            made, path = web_work.minted(chosen, (first, second), way, folder)
        except (ValueError, OSError) as error:
            gr.Warning(str(error))
            return None, gr.update(value=None, interactive=False)
        shown = made[:, :, 0] if made.shape[2] == 1 else made
        return shown, gr.update(value=str(path), interactive=True)

    start.click(run, [name, seed, other, share], [image, file])
