"""Holes by `--mask`: a second picture says which pixels of the first are to be filled."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from remint.corruptions.holes import FILL
from remint.images import imagefile

HALF = 128  # a mask's pixel from here on is white
LOSSLESS = ("PNG", "TIFF", "WEBP", "BMP", "PPM", "GIF")


def filled(
    image: np.ndarray, mask: np.ndarray, restore: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return uint8 or uint16 HWC restored where `mask` (bool HW) holds, else bit for bit as it was.

    The model sees holes as it saw them in training: filled with flat grey.
    """
    grey = FILL * (257 if image.dtype == np.uint16 else 1)
    holed = np.where(mask[:, :, None], image.dtype.type(grey), image)
    return np.where(mask[:, :, None], restore(holed), image)


def read_mask(path: Path, size: tuple[int, int], max_pixels: int) -> np.ndarray:
    """Return bool HW, true where the mask is white; ValueError unless it has (H, W) `size`."""
    try:
        mask = imagefile.to_channels(imagefile.read(path, max_pixels=max_pixels), 1)[:, :, 0]
    except imagefile.ImageFileError as error:
        raise ValueError(f"the mask {path} {error}") from error
    if mask.shape != size:
        raise ValueError(
            f"the mask {path} has {mask.shape[1]} x {mask.shape[0]} px and the picture {size[1]} x "
            f"{size[0]}; give a mask of the picture's size, white where it is to be filled"
        )
    return mask >= HALF


def check_format(file_format: str, pages: int) -> None:
    """Raise ValueError for files whose known pixels could not stay as they are."""
    if file_format not in LOSSLESS:
        raise ValueError(
            f"--mask keeps known pixels bit for bit, which {file_format} can't; name an output "
            "that ends in .png"
        )
    if pages > 1:
        raise ValueError(f"--mask is for one picture, and it holds {pages} pages; split it first")
