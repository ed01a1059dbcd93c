"""Bringing images of any size to the size that a set asks for."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from PIL import Image

REDUCED = "#longest="  # before the longer side in px, in the name of one of a picture's sizes
Fit = Literal["resize", "crop", "pad", "keep", "tiles"]


class TooSmallError(ValueError):
    """An image smaller than one tile; the text is the reason, without the name."""


def fit(
    image: np.ndarray, mode: Fit, size: int, background: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (where, part) for every part that `mode` takes from a uint8 HWC image.

    resize: the whole image to size x size, proportions not kept; crop: the centre square of the
    shorter side, to size x size; pad: the longer side to `size`, centred on grey `background`;
    keep: as it is; tiles: as many whole size x size squares as fit, without overlap, the grid
    centred, nothing resized. where: "" or, for a tile, a fragment such as "#xywh=64,0,64,64" (W3C
    Media Fragments 1.0, section 4.2.2). Raises TooSmallError where not one tile fits.
    """
    if mode == "tiles":
        yield from _tiles(image, size)
    elif mode == "keep":
        yield "", image
    else:
        yield "", _SINGLE[mode](image, size, background)


def picture_of(source: str) -> str:
    """Return the name of the picture that an image is, is a tile of, or was reduced from."""
    return source.partition(REDUCED)[0].partition("#xywh=")[0]


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return uint8 HWC resized by an antialiased Lanczos filter; the same pixels if it fits."""
    if image.shape[:2] == (height, width):
        return image
    flat = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    pixels = np.array(flat.resize((width, height), Image.Resampling.LANCZOS))
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def reduced(image: np.ndarray, longest: int) -> np.ndarray:
    """Return uint8 HWC, its longer side `longest` px at most, proportions kept; 0: as it is."""
    height, width = image.shape[:2]
    longer = max(height, width)
    if longest == 0 or longer <= longest:
        return image
    sides = (max(1, round(side * longest / longer)) for side in (height, width))
    return resized(image, *sides)


def at_sides(image: np.ndarray, sides: Sequence[int]) -> list[np.ndarray]:
    """Return an image `reduced` to each of `sides` (px); where two come out equal, one of them."""
    found: dict[tuple[int, ...], np.ndarray] = {}
    for side in sides:
        smaller = reduced(image, side)
        found.setdefault(smaller.shape, smaller)
    return list(found.values())


def fit_each(
    sizes: Sequence[np.ndarray], mode: Fit, size: int, background: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what `fit` does of each of a picture's sizes; `where` tells several of them apart."""
    for image in sizes:
        at = "" if len(sizes) == 1 else f"{REDUCED}{max(image.shape[:2])}"
        yield from ((at + where, part) for where, part in fit(image, mode, size, background))


def _square(image: np.ndarray, size: int, background: int) -> np.ndarray:
    return resized(image, size, size)


def _crop(image: np.ndarray, size: int, background: int) -> np.ndarray:
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    square = np.ascontiguousarray(image[top : top + side, left : left + side])
    return resized(square, size, size)


def _pad(image: np.ndarray, size: int, background: int) -> np.ndarray:
    longer = max(image.shape[:2])
    height, width = (max(1, round(length * size / longer)) for length in image.shape[:2])
    top, left = (size - height) // 2, (size - width) // 2
    canvas = np.full((size, size, image.shape[2]), background, np.uint8)
    canvas[top : top + height, left : left + width] = resized(image, height, width)
    return canvas


def _tiles(image: np.ndarray, size: int) -> Iterator[tuple[str, np.ndarray]]:
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise TooSmallError(f"is {width} x {height} pixels, smaller than a tile of {size}")
    for top in range(height % size // 2, height - size + 1, size):
        for left in range(width % size // 2, width - size + 1, size):
            part = np.ascontiguousarray(image[top : top + size, left : left + size])
            yield f"#xywh={left},{top},{size},{size}", part


_SINGLE: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "resize": _square,
    "crop": _crop,
    "pad": _pad,
}
