"""Damage on a window of an image, at the window's cost.

Each operation states its reach: how many pixels around a window it reads. The steps of a recipe
are walked backwards to find the part of the clean image that the last window rests on; that part
alone is damaged, and cut to what the next step needs. Recipes are drawn for the whole image, so
lengths and places stay those of the whole; where the part ends at the image's border, it is the
border. So a window shows what the whole image would have shown there: to the pixel for all but
noise, whose fields are drawn for the part, with the same distribution.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from remint.corruptions.compression import BLOCK
from remint.corruptions.drawing import Shape, View
from remint.corruptions.registry import carry_out, replay

Values = Mapping[str, Any]
UNIT = 2 * BLOCK  # pixels: JPEG's coded unit under 4:2:0; a window begins where one does
SMOOTHED = 2  # pixels around a unit that a decoder's upsampling of colour reads


def _none(step: Values) -> int:
    return 0


def _half_side(step: Values) -> int:
    return int(step["side"]) // 2


# Pixels that an operation reads around a window; None: all of the image decides on every pixel
# (the mean of contrast, the ratio of a resize, the segments and predictions of WebP).
REACH: Mapping[str, Callable[[Values], int] | None] = {
    **dict.fromkeys(("gaussian_noise", "poisson", "level_noise"), _none),
    **dict.fromkeys(("salt_and_pepper", "speckle", "fading", "stains"), _none),
    **dict.fromkeys(("scratches", "text", "ink", "boxes", "strokes"), _none),
    **dict.fromkeys(("generalised_blur", "plateau_blur", "sinc_blur"), _half_side),
    **dict.fromkeys(("resize", "there_and_back", "webp", "contrast"), None),
    "sensor_noise": lambda step: math.ceil(4 * step["grain"]),
    "gaussian_blur": lambda step: max(1, round(3 * step["sigma"])),
    "defocus": lambda step: math.ceil(step["radius"] + 0.5),
    "motion_blur": lambda step: math.ceil(step["extent"] / 2 + 0.5),
    "jpeg": lambda step: SMOOTHED,
    "shifted_jpeg": lambda step: SMOOTHED + UNIT,
}
GRID: Mapping[str, int] = {"jpeg": UNIT, "shifted_jpeg": UNIT}


def replay_window(
    image: np.ndarray, recipe: Sequence[Values], rows: slice, columns: slice
) -> np.ndarray:
    """Return `replay(image, recipe).image[rows, columns]`, but for the noise drawn.

    image: clean uint8 HWC, whole; rows, columns: start and stop inside it. Steps up to the last
    one that needs the whole image are carried out on the whole. Raises ValueError as `replay` does.
    """
    needing_all = [n for n, step in enumerate(recipe) if _reach(step) is None]
    first = needing_all[-1] + 1 if needing_all else 0
    whole = replay(image, recipe[:first]).image if first else image
    views = [View(whole.shape, rows, columns)]
    for step in reversed(recipe[first:]):
        views.insert(0, _grown(views[0], step))
    pixels = np.ascontiguousarray(views[0].cut(whole))
    for step, (before, after) in zip(recipe[first:], pairwise(views), strict=True):
        damaged, _ = carry_out(pixels, step, before)
        pixels = np.ascontiguousarray(_within(before, after).cut(damaged))
    return pixels.copy() if first == len(recipe) else pixels


def _reach(step: Values) -> int | None:
    """Return an operation's reach; of an unknown one None, so that `replay` refuses it."""
    reach = REACH.get(step["operation"])
    return None if reach is None else reach(step)


def _grown(view: View, step: Values) -> View:
    """Return the part of the image on which `view` rests after `step`."""
    reach, grid = _reach(step) or 0, GRID.get(step["operation"], 1)
    rows, columns = (
        _span(part, length, reach, grid)
        for part, length in zip((view.rows, view.columns), view.canvas, strict=True)
    )
    return View(view.shape, rows, columns)


def _span(part: slice, length: int, reach: int, grid: int) -> slice:
    start = max(0, part.start - reach) // grid * grid
    return slice(start, min(length, -(-(part.stop + reach) // grid) * grid))


def _within(outer: View, inner: View) -> View:
    """Return where `inner` lies in the pixels of `outer`."""
    rows, columns = (
        slice(b.start - a.start, b.stop - a.start)
        for a, b in ((outer.rows, inner.rows), (outer.columns, inner.columns))
    )
    shape: Shape = (outer.rows.stop - outer.rows.start, outer.columns.stop - outer.columns.start)
    return View(shape, rows, columns)
