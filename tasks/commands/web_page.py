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
    "The picture stays on this machine. Names, formats, EXIF and resolution are kept; results are "
    "marked as enhanced by a model. White paint on the picture is what gets filled, and all other "
    "pixels stay as they are."
)
NO_GENERATOR = "No generator is trained here yet: `make run`, or `make preset` first."
FAIR = (
    "Images are minted, and marked so (IPTC trainedAlgorithmicMedia). Their seed mints them again."
)
KNOB = "Interpolation: true to the pixels .. most detail"
BRUSH = gr.Brush(colors=["#ffffff"], default_size=20, color_mode="fixed")


def build(folder: Path) -> gr.Blocks:
    """Return the page; what it makes is written below `folder`."""
    with gr.Blocks(title="Remint", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
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
            knob = gr.Slider(
                0, 1, first.knob or 0.0, label=KNOB, interactive=first.knob is not None
            )
            doubt = gr.Checkbox(label="Map of doubt", interactive=first.doubt, elem_id="doubt")
            start = gr.Button("Restore", variant="primary", elem_id="restore")
        with gr.Column():
            slider = gr.ImageSlider(
                label="Damaged, restored",
                format="png",
                buttons=["fullscreen"],
                interactive=False,
                elem_id="slider",
            )
            file = gr.DownloadButton("Download", interactive=False, elem_id="download")
            unsure = gr.Image(label="Doubt: the brighter the less sure", visible=False)
            notes = gr.Textbox(label="What was said", lines=2, interactive=False)
    with gr.Accordion("Fill: paint over what is to be filled", open=False):
        paint = gr.ImageEditor(
            label="Paint", brush=BRUSH, transforms=(), layers=False, sources=(), elem_id="paint"
        )

    def fit(title: str) -> tuple[Any, Any]:
        return _knob(choices[title]), _box(choices[title])

    def run(source: str | None, title: str, share: float, sure: bool, painted: Any) -> Any:
        chosen = choices[title]
        share_given = None if chosen.knob is None else share
        return _restored(source, chosen, share_given, sure, painted, folder)

    model.change(fit, model, [knob, doubt])
    picture.change(_canvas, picture, paint)
    start.click(run, [picture, model, knob, doubt, paint], [slider, file, unsure, notes])


def _knob(model: Model) -> Any:
    return gr.update(value=model.knob or 0.0, interactive=model.knob is not None)


def _box(model: Model) -> Any:
    return gr.update(value=False, interactive=model.doubt)


def _canvas(source: str | None) -> Any:
    if source is None:
        return None
    try:
        return web_work.preview(Path(source))
    except ValueError as error:
        raise gr.Error(f"{Path(source).name} {error}", print_exception=False) from None


def _restored(
    source: str | None, model: Model, share: float | None, sure: bool, painted: Any, folder: Path
) -> Any:
    if source is None:
        raise gr.Error("Drop a picture first.", print_exception=False)
    out = Path(tempfile.mkdtemp(dir=folder))
    try:
        answer = web_work.restored(
            Path(source), model.folder, out, share, sure and model.doubt, _mask(painted)
        )
    except (ValueError, OSError) as error:
        raise gr.Error(str(error), print_exception=False) from None
    shown = gr.update(value=answer.doubt, visible=answer.doubt is not None)
    download = gr.update(value=str(answer.file), interactive=True)
    return (answer.before, answer.after), download, shown, answer.notes


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
            seed = gr.Number(0, label="Seed", precision=0, minimum=0)
            other = gr.Number(1, label="Second seed", precision=0, minimum=0)
            share = gr.Slider(0, 1, value=0, label="Between the two")
            start = gr.Button("Mint", variant="primary", elem_id="mint")
        with gr.Column():
            image = gr.Image(label="Minted", format="png", buttons=[], elem_id="minted")
            file = gr.DownloadButton("Download", interactive=False)

    def run(chosen: str, first: int, second: int, way: float) -> Any:
        try:
            made, path = web_work.minted(chosen, (int(first), int(second)), way, folder)
        except (ValueError, OSError) as error:
            raise gr.Error(str(error), print_exception=False) from None
        return made[:, :, 0] if made.shape[2] == 1 else made, gr.update(
            value=str(path), interactive=True
        )

    start.click(run, [name, seed, other, share], [image, file])
