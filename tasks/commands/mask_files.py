"""Holes by `--mask`: a second picture says which pixels of the first are to be filled."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from remint.corruptions.holes import FILL
from remint.images import imagefile
from tasks.commands.photo_writing import DEEP_FORMATS

HALF = 128  # a mask's pixel from here on is white
RING = 9  # px, the side of what is looked at around a hole's edge
NEAR, FAR = 4.0, 12.0  # levels from the grey of holes: a hole that was left, and what is no grey
UNFILLED = (
    "what --mask names was left nearly as flat grey: this model was not trained to fill holes; "
    "train one that sees them (corrupt.training.steps), or name one by --model"
)
LOSSLESS = ("PNG", "TIFF", "WEBP", "BMP", "PPM")


def filled(
    image: np.ndarray, mask: np.ndarray, restore: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return uint8 or uint16 HWC restored where `mask` (bool HW) holds, else bit for bit as it was.

    The model sees holes as it saw them in training: filled with flat grey.
    """
    holed = np.where(mask[:, :, None], image.dtype.type(FILL * _step(image)), image)
    return np.where(mask[:, :, None], restore(holed), image)


def is_unfilled(image: np.ndarray, mask: np.ndarray) -> bool:
    """Say whether a hole, filled in `image`, is still the grey of holes, unlike what is around it.

    image: uint8 or uint16 HWC; mask: bool HW.
    """
    around = cv2.dilate(mask.astype(np.uint8), np.ones((RING, RING), np.uint8)) > mask
    return bool(around.any() and _off(image, mask) < NEAR and _off(image, around) > FAR)


def _off(image: np.ndarray, where: np.ndarray) -> float:
    """Return how many levels pixels lie from the grey of holes, the median of those selected."""
    levels = image[where].astype(np.float64) / _step(image)
    return float(np.median(np.abs(levels - FILL).max(axis=1)))


def _step(image: np.ndarray) -> int:
    """Return how many steps of the image's depth one of 255 levels has."""
    return 257 if image.dtype == np.uint16 else 1


def read_mask(path: Path, size: tuple[int, int], max_pixels: int) -> np.ndarray:
    """Return bool HW, true where the mask is white; what is transparent is not.

    Raises ValueError unless it has (H, W) `size`, and something that is white and something that
    is not.
    """
    try:
        read = imagefile.read(path, max_pixels=max_pixels, background=0)
        mask = imagefile.to_channels(read, 1)[:, :, 0]
    except imagefile.ImageFileError as error:
        raise ValueError(f"the mask {path} {error}") from error
    if mask.shape != size:
        raise ValueError(
            f"the mask {path} has {mask.shape[1]} x {mask.shape[0]} px and the picture {size[1]} x "
            f"{size[0]}; give a mask of the picture's size, white where it is to be filled"
        )
    white = mask >= HALF
    if white.all() or not white.any():
        found = "white everywhere" if white.all() else "white nowhere"
        raise ValueError(f"the mask {path} is {found}; make it white where it is to be filled")
    return white


def check_format(file_format: str, pages: int, deep: bool) -> None:
    """Raise ValueError for files whose known pixels could not stay as they are.

    deep: the picture has 16 bits a channel.
    """
    if file_format not in (DEEP_FORMATS if deep else LOSSLESS):
        raise ValueError(
            f"--mask keeps known pixels bit for bit, which {file_format} can't; name an output "
            "that ends in .png"
        )
    if pages > 1:
        raise ValueError(f"--mask is for one picture, and it holds {pages} pages; split it first")
