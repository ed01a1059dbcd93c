"""All kinds of damage by name, and the two ways to an image: draw a recipe, or carry one out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remint.corruptions import (
    blur,
    chains,
    compression,
    everyday,
    holes,
    marks,
    noise,
    resolution,
    tone,
)
from remint.corruptions.drawing import Recipe, Shape, View

Draw = Callable[[Shape, float, np.random.Generator], Recipe]

KINDS: Mapping[str, Draw] = {
    "gaussian_noise": noise.draw_gaussian_noise,
    "poisson": noise.draw_poisson,
    "salt_and_pepper": noise.draw_salt_and_pepper,
    "speckle": noise.draw_speckle,
    "gaussian_blur": blur.draw_gaussian_blur,
    "defocus": blur.draw_defocus,
    "motion_blur": blur.draw_motion_blur,
    "pixelate": resolution.draw_pixelate,
    "downscale": resolution.draw_downscale,
    "jpeg": compression.draw_jpeg,
    "double_jpeg": compression.draw_double_jpeg,
    "webp": compression.draw_webp,
    "contrast": tone.draw_contrast,
    "fading": tone.draw_fading,
    "stains": marks.draw_stains,
    "scratches": marks.draw_scratches,
    "text": marks.draw_text,
    "ink": marks.draw_ink,
    "holes": holes.draw_holes,
    "box_holes": holes.draw_box_holes,
    "stroke_holes": holes.draw_stroke_holes,
    "old_photo": chains.draw_old_photo,
    "second_order": chains.draw_second_order,
    "sensor_noise": everyday.draw_sensor_noise,
    "plain_noise": everyday.draw_plain_noise,
    "soft": everyday.draw_soft,
    "shrunk": everyday.draw_shrunk,
    "shared_jpeg": everyday.draw_shared_jpeg,
    "shared_webp": everyday.draw_shared_webp,
    "everyday": everyday.draw_everyday,
}

OPERATIONS: Mapping[str, Callable[..., np.ndarray]] = {
    "gaussian_noise": noise.gaussian_noise,
    "poisson": noise.poisson,
    "level_noise": noise.level_noise,
    "sensor_noise": everyday.sensor_noise,
    "salt_and_pepper": noise.salt_and_pepper,
    "speckle": noise.speckle,
    "gaussian_blur": blur.gaussian_blur,
    "defocus": blur.defocus,
    "motion_blur": blur.motion_blur,
    "generalised_blur": blur.generalised_blur,
    "plateau_blur": blur.plateau_blur,
    "sinc_blur": blur.sinc_blur,
    "resize": resolution.resize,
    "there_and_back": resolution.there_and_back,
    "jpeg": compression.jpeg,
    "shifted_jpeg": compression.shifted_jpeg,
    "webp": compression.webp,
    "contrast": tone.contrast,
    "fading": tone.fading,
    "stains": marks.stains,
}

MASKED_OPERATIONS: Mapping[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "scratches": marks.scratches,
    "text": marks.text,
    "ink": marks.ink,
    "boxes": holes.boxes,
    "strokes": holes.strokes,
}

# Operations whose marks and fields have their place on the whole image
PLACED = frozenset({"fading", "stains", *MASKED_OPERATIONS})


@dataclass(frozen=True)
class Corrupted:
    """A damaged image, uint8 HWC like the clean one, and how it came about.

    recipe: JSON-able; `replay` makes the same image of it. mask: uint8 HW, 255 where pixels were
    lost or covered, None where no operation of the recipe covers pixels.
    """

    image: np.ndarray
    recipe: Recipe
    mask: np.ndarray | None


def draw(shape: Shape, kind: str, severity: float, generator: np.random.Generator) -> Recipe:
    """Draw the recipe of one kind for images of (height, width, channels).

    severity: 1 (mild) to 5, also between. Raises ValueError for an unknown kind or severity.
    """
    if kind not in KINDS:
        raise ValueError(f"No kind of damage is called {kind!r}; choose from {', '.join(KINDS)}.")
    if not 1 <= severity <= 5:
        raise ValueError(f"Severity {severity} of {kind} is out of range; give 1 to 5.")
    return KINDS[kind](shape, severity, generator)


def corrupt(
    image: np.ndarray, kind: str, severity: float, generator: np.random.Generator
) -> Corrupted:
    """Damage uint8 HWC pixels (C 1 or 3) by one kind at severity 1..5; the input stays whole.

    Raises ValueError for pixels of another form, an unknown kind or severity.
    """
    return replay(image, draw(image.shape, kind, severity, generator))


def replay(image: np.ndarray, recipe: Sequence[Mapping[str, Any]]) -> Corrupted:
    """Carry out a recipe on clean uint8 HWC pixels: bit-equal to the image it was drawn for.

    Raises ValueError for pixels of another form or an operation of a newer version.
    """
    check_pixels(image)
    damaged, mask = np.ascontiguousarray(image), None
    for step in recipe:  # operations return new arrays
        damaged, hidden = carry_out(damaged, step)
        mask = hidden if mask is None else mask if hidden is None else np.maximum(mask, hidden)
    whole = damaged.copy() if not recipe else damaged
    return Corrupted(whole, [dict(step) for step in recipe], mask)


def carry_out(
    image: np.ndarray, step: Mapping[str, Any], view: View | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Carry out one step on uint8 HWC pixels; return them with the mask of what it covers.

    view: the window of a whole image that the pixels are; needed by what is placed on the whole.
    """
    values = dict(step)
    name = values.pop("operation")
    if view is not None and name in PLACED:
        values["view"] = view
    if name in MASKED_OPERATIONS:
        return MASKED_OPERATIONS[name](image, **values)
    if name not in OPERATIONS:
        raise ValueError(f"The recipe's operation {name!r} is unknown here; update Remint.")
    return OPERATIONS[name](image, **values), None


def check_pixels(image: np.ndarray) -> None:
    """Raise ValueError unless `image` is uint8 HWC with 1 or 3 channels and some pixels."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(
            f"Pixels are {image.dtype} {image.shape}; needed are uint8 (height, width, 1 or 3)."
        )
    if image.size == 0:
        raise ValueError(f"The image has no pixels ({image.shape}); give at least one.")
