"""What the page of `remint web` does: files in, files and previews out; knows no web framework."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from remint.export.marking import SigningConfig, marking_encoder
from remint.export.minting import SEED_BITS
from remint.generator import generator
from remint.generator.generator import Minter
from remint.generator_evaluation.pictures import slerp
from remint.images import imagefile
from remint.restorer import restorer, shipped
from remint.restorer.doubt import refuse_without
from tasks.commands.doubt_files import beside
from tasks.commands.limits import MAX_PIXELS
from tasks.commands.mask_files import LOSSLESS
from tasks.commands.model_choice import TRAINED
from tasks.commands.restore_files import RestoreOptions, restore

GENERATOR = Path("data/models/generator")
PREVIEW = 1600  # px: longer sides are shown smaller; the file that is downloaded is whole
SHOWN = 384  # px: minted images are shown at least as large
DOUBT_CONTRAST = 8  # a map's levels are few: they are shown so much brighter
UNSIGNED = SigningConfig("", "", "es256")
KEPT_WHERE_FILLED = {*LOSSLESS} - {"PPM"}  # formats; 16 bits of a PGM would be cut
OPTIONS = RestoreOptions(model=shipped.FOLDER, force=True)


class Answer(NamedTuple):
    """before, after, doubt: previews, uint8 HWC or HW; file: the restored picture, whole."""

    before: np.ndarray
    after: np.ndarray
    doubt: np.ndarray | None
    file: Path
    notes: str


class Model(NamedTuple):
    """A choice on the page. knob: its own interpolation, None where it has one set of weights."""

    title: str
    folder: Path
    knob: float | None
    doubt: bool


def models() -> list[Model]:
    """Return what can be chosen: the trained one first, then those that come with Remint."""
    found = [_model("trained here", TRAINED)] if (TRAINED / restorer.CARD).exists() else []
    auto = all(_has_doubt(shipped.FOLDER / name) for name in shipped.names())
    found.append(Model("photographs, grey or colour", shipped.FOLDER, None, auto))
    return [*found, *(_model(name, shipped.FOLDER / name) for name in shipped.names())]


def _model(title: str, folder: Path) -> Model:
    blends = (folder / f"{restorer.ADVERSARIAL}.safetensors").exists()
    knob = float(restorer.read_card(folder)["default_interpolation"]) if blends else None
    return Model(title, folder, knob, _has_doubt(folder))


def _has_doubt(folder: Path) -> bool:
    try:
        refuse_without(restorer.read_card(folder), folder)
    except ValueError:
        return False
    return True


def restored(
    source: Path,
    model: Path,
    folder: Path,
    interpolation: float | None = None,
    doubt: bool = False,
    mask: np.ndarray | None = None,
) -> Answer:
    """Restore one picture into `folder` as `remint restore` does, and say what it said.

    mask: bool [h, w] of the picture's proportions, true where it is to be filled. Raises ValueError
    with the sentence for a picture that can't be restored.
    """
    target = folder / f"{source.stem}-restored{source.suffix}"
    painted = None
    if mask is not None and mask.any():
        painted = _written_mask(mask, source, folder)
        if Image.registered_extensions().get(source.suffix.lower()) not in KEPT_WHERE_FILLED:
            target = target.with_suffix(".png")
    chosen = replace(OPTIONS, model=model, interpolation=interpolation, mask=painted, doubt=doubt)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        failed = restore(source, target, chosen)
    if failed:
        raise ValueError(said.getvalue().strip().splitlines()[-1])
    unsure = _brightened(preview(beside(target))) if doubt else None
    notes = _told(said.getvalue()) or ("Restored." if painted is None else "Filled.")
    return Answer(preview(source), preview(target), unsure, target, notes)


def _brightened(levels: np.ndarray) -> np.ndarray:
    return np.minimum(levels.astype(np.int64) * DOUBT_CONTRAST, 255).astype(np.uint8)


def _told(said: str) -> str:
    """Return warnings and notes: how long it took and where it lies is no news on the page."""
    return "\n".join(line for line in said.splitlines() if not line.startswith("restore"))


def _written_mask(mask: np.ndarray, source: Path, folder: Path) -> Path:
    """Write the mask at the picture's size, white where it is true, and return its file."""
    height, width = imagefile.read(source, max_pixels=MAX_PIXELS).shape[:2]
    white = mask.astype(np.uint8) * 255
    path = folder / "mask.png"
    whole = cv2.resize(white, (width, height), interpolation=cv2.INTER_NEAREST)
    path.write_bytes(imagefile.encode_png(whole[:, :, None]))
    return path


def preview(path: Path) -> np.ndarray:
    """Return a picture as it is shown: uint8 [h, w, 3], upright, at most PREVIEW px a side."""
    image = imagefile.to_channels(imagefile.read(path, max_pixels=MAX_PIXELS), 3)
    share = PREVIEW / max(image.shape[:2])
    size = (max(1, round(side * share)) for side in (image.shape[1], image.shape[0]))
    return cv2.resize(image, tuple(size), interpolation=cv2.INTER_AREA) if share < 1 else image


def class_names() -> list[str] | None:
    """Return the trained generator's classes; None where none is trained."""
    card = GENERATOR / generator.CARD
    if not card.exists():
        return None
    return list(json.loads(card.read_text(encoding="utf-8"))["class_names"]) or ["images"]


@lru_cache(maxsize=1)
def _minter(folder: Path, _written: float) -> Minter:
    return Minter.load(folder)


def minted(
    name: str, seeds: tuple[int | None, int | None], share: float, folder: Path
) -> tuple[np.ndarray, Path]:
    """Mint the image that lies `share` (0..1) of the way from one seed's to the other's.

    Returns it large enough to look at, uint8 [h, w, C], and the file as minted, marked as such.
    Raises ValueError with the sentence where a seed is left empty or out of range.
    """
    if not all(seed is not None and 0 <= seed < 2**SEED_BITS for seed in seeds):
        raise ValueError(f"Both seeds are whole numbers from 0 to {2**SEED_BITS - 1}.")
    minter = _minter(GENERATOR, (GENERATOR / generator.CARD).stat().st_mtime)
    ends = minter.latents(np.array(seeds))
    latent = ends[0] if seeds[0] == seeds[1] else slerp(ends[0], ends[1], share)
    names = minter.class_names or ["images"]
    image = minter.decode(latent[None], np.array([names.index(name)]))[0]
    between = f"{seeds[0]}" if share == 0 else f"{seeds[0]}-{seeds[1]}-{share:.2f}"
    file = folder / f"{name}-{between}.png".replace("/", "_")
    file.write_bytes(marking_encoder(UNSIGNED)(image))
    factor = max(1, round(SHOWN / minter.size))
    return image.repeat(factor, axis=0).repeat(factor, axis=1), file
