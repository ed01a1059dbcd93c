"""Whole images of any size through a network, in overlapping tiles whose seams are blended.

Tiles count fully in their middle and not at all in the outer quarter of an overlap, where a
network sees the tile's border instead of the picture; between the two the weight is a ramp. So a
network that looks at most overlap / 4 px around each pixel gives the same output with tiles as
without, and memory beyond the two images is one row of tiles.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np
import torch

from remint.core.arrays import to_tensor, to_uint8, to_uint16

A = TypeVar("A")
ALIGNED = 16  # px: tiles begin at multiples of it, where a network's own folding does not shift
Place = tuple[int, int]  # top and left of a tile, px
Shape = tuple[int, int, int]  # height, width, channels


class Network(Protocol):
    """What tiling needs of a restorer: float NCHW in [-1, 1] to the same, of `channels`."""

    channels: int

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Map float [N, channels, H, W] to the same shape."""
        ...


def restore_image(
    restorer: Network,
    image: np.ndarray,
    tile: int,
    overlap: int,
    watch: Callable[[Sequence[Place]], Iterable[Place]] = iter,
) -> np.ndarray:
    """Return the restored image: uint8 or uint16 HWC in, the same type and shape out.

    tile: largest side of a tile in px; an image that fits into one is done in one piece. overlap:
    px shared by neighbours, below half of `tile`. watch: wraps the tiles as they are done, to show
    progress. A 3-channel model takes grey as three equal channels and gives the mean of its
    answer, a 1-channel model takes colour only where all three channels are equal. Raises
    ValueError for impossible tiles, for colour that a grey model can't see, and for an answer that
    is not finite.
    """
    check_tiles(tile, overlap)
    if restorer.channels == 1 and image.shape[2] == 3:
        grey = restore_image(restorer, _one_channel(image), tile, overlap, watch)
        return np.repeat(grey, 3, axis=2)
    if max(image.shape[:2]) <= tile:
        return restore_batch(restorer, image[None])[0]
    output = np.empty_like(image)
    for top, band in _bands(restorer, image, tile, overlap, watch):
        output[top : top + band.shape[1]] = _pixels(torch.from_numpy(band), image.dtype)
    return output


def of_one_shape(
    items: Iterable[A], size: int, pixels: int, shape: Callable[[A], Shape]
) -> Iterator[list[A]]:
    """Group neighbours of one shape, up to `size` of them and no more pixels than `pixels`.

    One alone may have more. So the memory that a network takes is bounded, whatever the size.
    """
    batch: list[A] = []
    for item in items:
        height, width, _ = shape(item)
        most = min(size, pixels // (height * width))
        if batch and (len(batch) >= most or shape(batch[0]) != shape(item)):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def restore_batch(restorer: Network, images: np.ndarray) -> np.ndarray:
    """Return restored images of one size, each as a whole: uint8 or uint16 [N,]H,W,C in and out."""
    return _pixels(_with_channels(restorer, to_tensor(images)), images.dtype)


def _pixels(tensor: torch.Tensor, dtype: np.dtype) -> np.ndarray:
    return to_uint16(tensor) if dtype == np.uint16 else to_uint8(tensor)


def _one_channel(image: np.ndarray) -> np.ndarray:
    """Return the channel of a picture whose three are equal; ValueError where it has colour."""
    if any(not np.array_equal(image[:, :, 0], image[:, :, other]) for other in (1, 2)):
        raise ValueError(
            "it is a picture in colour and the model was trained on grey ones; choose a model "
            "trained on colour, or make the picture grey"
        )
    return image[:, :, :1]


def check_tiles(tile: int, overlap: int) -> None:
    """Raise ValueError unless 0 <= overlap < tile / 2."""
    if not 0 <= 2 * overlap < tile:
        raise ValueError(
            f"Tiles of {tile} px with an overlap of {overlap} px do not work: the overlap must be "
            "at least 0 and below half a tile."
        )


def _with_channels(restorer: Network, batch: torch.Tensor) -> torch.Tensor:
    """Fit the channels of float [N, C, H, W] to the model's and back."""
    count, channels = batch.shape[:2]
    if channels == restorer.channels:
        answer = restorer(batch)
    elif channels == 1:
        wide = batch.expand(count, restorer.channels, -1, -1)
        answer = restorer(wide).mean(dim=1, keepdim=True)
    else:
        raise ValueError(
            f"A model of {restorer.channels} channels cannot take images of {channels} channels; "
            "use grey or colour images."
        )
    if not torch.isfinite(answer).all():
        raise ValueError(
            "the model's answer holds values that are not finite, so its weights are broken or "
            "overflow; use another model, or train this one again"
        )
    return answer


def _bands(
    restorer: Network,
    image: np.ndarray,
    tile: int,
    overlap: int,
    watch: Callable[[Sequence[Place]], Iterable[Place]],
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (top row, finished float [C, rows, W]) from the top of the image to its bottom.

    Only the rows under the current row of tiles are kept as sums and weights.
    """
    height, width, channels = image.shape
    rows, columns = tile_shape(height, width, tile, overlap)
    tops, lefts = _starts(height, rows, overlap), _starts(width, columns, overlap)
    following = dict(pairwise([*tops, height]))
    sums, weights = np.zeros((channels, rows, width), np.float32), np.zeros((rows, width), "f4")
    for top, left in watch(places(height, width, tile, overlap)):
        piece = to_tensor(image[None, top : top + rows, left : left + columns])
        output = _with_channels(restorer, piece)[0].float().cpu().numpy()
        down = _weight(rows, top > 0, top + rows < height, overlap)
        across = _weight(columns, left > 0, left + columns < width, overlap)
        weight = down[:, None] * across
        sums[:, :, left : left + columns] += weight * output
        weights[:, left : left + columns] += weight
        if left == lefts[-1]:
            done = min(following[top] - top, rows)
            yield top, sums[:, :done] / weights[:done]
            sums = np.concatenate([sums[:, done:], np.zeros_like(sums[:, :done])], axis=1)
            weights = np.concatenate([weights[done:], np.zeros_like(weights[:done])])


def places(height: int, width: int, tile: int, overlap: int) -> list[Place]:
    """Return where the tiles of a picture begin, row by row."""
    rows, columns = tile_shape(height, width, tile, overlap)
    tops, lefts = _starts(height, rows, overlap), _starts(width, columns, overlap)
    return [(top, left) for top in tops for left in lefts]


def tile_shape(height: int, width: int, tile: int, overlap: int) -> tuple[int, int]:
    """Return the rows and columns of a picture's tiles: no more tiles than `tile` asks for, but
    only as large as they must be, so that the last one repeats little of the one before.
    """
    return _side(height, tile, overlap), _side(width, tile, overlap)


def _side(length: int, tile: int, overlap: int) -> int:
    if length <= tile:
        return length
    count = -(-(length - overlap) // (tile - overlap))
    side = -(-(length + (count - 1) * overlap) // count)
    return min(tile, -(-side // ALIGNED) * ALIGNED)


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
