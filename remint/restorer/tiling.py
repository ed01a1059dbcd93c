"""Whole images of any size through a network, in overlapping tiles whose seams are blended.

Tiles count fully in their middle and not at all in the outer quarter of an overlap, where a
network sees the tile's border instead of the picture; between the two the weight is a ramp. So a
network that looks at most overlap / 4 px around each pixel gives the same output with tiles as
without, and memory beyond the two uint8 images is one row of tiles.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch

from remint.core.arrays import to_tensor, to_uint8


class Network(Protocol):
    """What tiling needs of a restorer: float NCHW in [-1, 1] to the same, of `channels`."""

    channels: int

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Map float [N, channels, H, W] to the same shape."""
        ...


def restore_image(restorer: Network, image: np.ndarray, tile: int, overlap: int) -> np.ndarray:
    """Return the restored image: uint8 HWC in, uint8 HWC of the same shape out.

    tile: side of a tile in px; an image that fits into one tile is done in one piece. overlap: px
    shared by neighbours, below half of `tile`. A 1-channel model takes colour images channel by
    channel, a 3-channel model takes grey as three equal channels and the mean of its answer.
    Raises ValueError for impossible tiles or channel counts.
    """
    check_tiles(tile, overlap)
    if max(image.shape[:2]) <= tile:
        return restore_batch(restorer, image[None])[0]
    output = np.empty_like(image)
    for top, band in _bands(restorer, image, tile, overlap):
        output[top : top + band.shape[1]] = to_uint8(torch.from_numpy(band))
    return output


def restore_batch(restorer: Network, images: np.ndarray) -> np.ndarray:
    """Return restored images of one size, each as a whole: uint8 [N,]H,W,C in and out."""
    return to_uint8(_with_channels(restorer, to_tensor(images)))


def check_tiles(tile: int, overlap: int) -> None:
    """Raise ValueError unless 0 <= overlap < tile / 2."""
    if not 0 <= 2 * overlap < tile:
        raise ValueError(
            f"Tiles of {tile} px with an overlap of {overlap} px do not work: the overlap must be "
            "at least 0 and below half a tile."
        )


def _with_channels(restorer: Network, batch: torch.Tensor) -> torch.Tensor:
    """Fit the channels of float [N, C, H, W] to the model's and back."""
    count, channels, height, width = batch.shape
    if channels == restorer.channels:
        return restorer(batch)
    if restorer.channels == 1:
        return restorer(batch.reshape(-1, 1, height, width)).reshape(batch.shape)
    if channels == 1:
        return restorer(batch.expand(count, restorer.channels, -1, -1)).mean(dim=1, keepdim=True)
    raise ValueError(
        f"A model of {restorer.channels} channels cannot take images of {channels} channels; "
        "use grey or colour images."
    )


def _bands(
    restorer: Network, image: np.ndarray, tile: int, overlap: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (top row, finished float [C, rows, W]) from the top of the image to its bottom.

    Only the rows under the current row of tiles are kept as sums and weights.
    """
    height, width, channels = image.shape
    tops, rows = _starts(height, tile, overlap), min(tile, height)
    sums = np.zeros((channels, rows, width), np.float32)
    weights = np.zeros((rows, 1), np.float32)
    for top, following in pairwise([*tops, height]):
        weight = _weight(rows, top > 0, top + rows < height, overlap)[:, None]
        sums += weight * _row_of_tiles(restorer, image[top : top + rows], tile, overlap)
        weights += weight
        done = min(following - top, rows)
        yield top, sums[:, :done] / weights[:done]
        sums = np.concatenate([sums[:, done:], np.zeros_like(sums[:, :done])], axis=1)
        weights = np.concatenate([weights[done:], np.zeros_like(weights[:done])])


def _row_of_tiles(restorer: Network, band: np.ndarray, tile: int, overlap: int) -> np.ndarray:
    """Restore uint8 [rows, W, C], at most a tile high, as float32 [C, rows, W]."""
    rows, width, channels = band.shape
    columns = min(tile, width)
    sums = np.zeros((channels, rows, width), np.float32)
    weights = np.zeros(width, np.float32)
    for left in _starts(width, tile, overlap):
        piece = to_tensor(band[None, :, left : left + columns])
        output = _with_channels(restorer, piece)[0].float().cpu().numpy()
        weight = _weight(columns, left > 0, left + columns < width, overlap)
        sums[:, :, left : left + columns] += weight * output
        weights[left : left + columns] += weight
    return sums / weights


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return where tiles begin along one side; the last one ends at the border."""
    if length <= tile:
        return [0]
    return [*range(0, length - tile, tile - overlap), length - tile]


def _weight(length: int, fades_in: bool, fades_out: bool, overlap: int) -> np.ndarray:
    """Return float32 [length]: 1 in the middle, a ramp with a flat 0 at each inner border."""
    steps = np.arange(overlap, dtype=np.float32) + 0.5
    margin = overlap / 4
    ramp = np.clip((steps - margin) / max(overlap - 2 * margin, 1.0), 0.0, 1.0)
    weight = np.ones(length, np.float32)
    if fades_in:
        weight[:overlap] *= ramp
    if fades_out:
        weight[length - overlap :] *= ramp[::-1]
    return weight
