"""Pictures laid out on one sheet, for people.

torchvision's make_grid wants pictures of one size and frames the sheet on all sides.
"""

from collections.abc import Sequence

import numpy as np

SIDE = 128  # px: least side of a picture on a sheet; smaller ones are enlarged in whole steps
GAP = 4


def sheet(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Lay uint8 HWC pictures out in rows on one white uint8 HW3 sheet."""
    strips = [_strip([_shown(picture) for picture in row]) for row in rows]
    width = max(strip.shape[1] for strip in strips)
    sheet_rows = [_framed(strip, strip.shape[0] + GAP, width) for strip in strips]
    return np.concatenate(sheet_rows)


def _strip(pictures: Sequence[np.ndarray]) -> np.ndarray:
    height = max(picture.shape[0] for picture in pictures)
    return np.concatenate([_framed(p, height, p.shape[1] + GAP) for p in pictures], axis=1)


def _framed(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    canvas = np.full((height, width, 3), 255, np.uint8)
    canvas[: picture.shape[0], : picture.shape[1]] = picture
    return canvas


def _shown(picture: np.ndarray) -> np.ndarray:
    """Make colour of grey and enlarge a small picture by whole steps, pixels kept square."""
    colour = np.broadcast_to(picture, (*picture.shape[:2], 3))
    times = max(1, SIDE // max(picture.shape[:2]))
    return colour.repeat(times, axis=0).repeat(times, axis=1)
