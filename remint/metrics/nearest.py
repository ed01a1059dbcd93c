"""Two spaces in which an image may lie too near to a training image: small pixels and features.

No single distance sees every copy: features of a network forgive a shift but jump at slight noise,
small pixels forgive noise and lose a shifted copy, unless shifts are tried out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

THUMBNAIL = 16
STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # of the largest shift that is tried, on each axis
CANDIDATES = 100  # training images, nearest without a shift, for which shifts are tried
SPARE = 8  # more rows than asked for are measured exactly, since float32 products round
STRIP = 128
NEAREST = 2


@dataclass(frozen=True)
class Neighbours:
    """Nearest rows, mostly two of N images: distances float64 [N, K] rising, indices [N, K]."""

    distances: np.ndarray
    indices: np.ndarray

    @property
    def nearest(self) -> np.ndarray:
        """Distance to the nearest training image, float64 [N]."""
        return self.distances[:, 0]

    @property
    def ratio(self) -> np.ndarray:
        """Nearest over second nearest distance, float64 [N] in 0..1; 0 for an exact copy.

        Low where one training image is far nearer than all others (Lowe's ratio, IJCV 2004): it
        does not depend on how dense that corner of the space is.
        """
        first, second = self.distances[:, :NEAREST].T
        return np.divide(first, second, out=np.zeros_like(first), where=second > 0)


class Space(Protocol):
    """Where distances to the training images are measured. name: part of figures' names."""

    name: str
    unit: str

    def neighbours(self, images: np.ndarray) -> Neighbours:
        """Find the two nearest training images of uint8 [N, H, W, C]."""
        ...

    def among_training(self, indices: np.ndarray) -> np.ndarray:
        """Return float64 [N]: how far training images lie from their nearest fellow."""
        ...


class FeatureSpace:
    """Euclidean distances of a network's features."""

    unit = "feature distance"

    def __init__(
        self, name: str, extract: Callable[[np.ndarray], np.ndarray], training: np.ndarray
    ) -> None:
        """extract: uint8 [N, H, W, C] -> [N, D]; training: features of the training images."""
        self.name, self._extract, self._training = name, extract, training.astype(np.float32)

    def neighbours(self, images: np.ndarray) -> Neighbours:
        """Find the two nearest training images of uint8 [N, H, W, C]."""
        return nearest_rows(self._extract(images), self._training, NEAREST)

    def among_training(self, indices: np.ndarray) -> np.ndarray:
        """Return float64 [N]: how far training images lie from their nearest fellow."""
        return _fellow(nearest_rows(self._training[indices], self._training, NEAREST), indices)


class PixelSpace:
    """Root mean square difference in grey levels (0..255) at 16 x 16 px, the least over 25 shifts.

    Shifts of the looked-up image on a 5 x 5 grid of up to `shift` of its side, edges prolonged, are
    tried against its 100 nearest training images; held-out images get the same search.
    """

    name = "pixels"
    unit = f"grey levels at {THUMBNAIL} x {THUMBNAIL} px"

    def __init__(self, training: np.ndarray, shift: float) -> None:
        """training: uint8 [M, H, W, C]; shift: largest one, as a share of the side."""
        self._images, self._training = training, thumbnails(training)
        side = max(training.shape[1:3])
        pixels = [round(part * shift * side) for part in STEPS]
        self._shifts = sorted({(down, right) for down in pixels for right in pixels})

    def neighbours(self, images: np.ndarray) -> Neighbours:
        """Find the two nearest training images of uint8 [N, H, W, C]."""
        return self._search(images, np.full(len(images), -1))

    def among_training(self, indices: np.ndarray) -> np.ndarray:
        """Return float64 [N]: how far training images lie from their nearest fellow."""
        return self._search(self._images[indices], indices).nearest

    def _search(self, images: np.ndarray, banned: np.ndarray) -> Neighbours:
        """banned: int [N], the training image that does not count for each, or -1."""
        starts = range(0, len(images), STRIP)
        parts = [self._few(images[s : s + STRIP], banned[s : s + STRIP]) for s in starts]
        return Neighbours(*(np.concatenate(found) for found in zip(*parts, strict=True)))

    def _few(self, images: np.ndarray, banned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        plain = nearest_rows(thumbnails(images), self._training, CANDIDATES).indices
        shifted = np.stack([thumbnails(moved(images, *shift)) for shift in self._shifts], axis=1)
        squares, indices = [], []
        for found, candidates, own in zip(shifted, plain, banned, strict=True):
            values = _least_squares(found, self._training[candidates])
            values[candidates == own] = np.inf
            order = np.argsort(values, kind="stable")[:NEAREST]
            squares.append(values[order])
            indices.append(candidates[order])
        return np.sqrt(np.array(squares)), np.array(indices)


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Shrink uint8 [N, H, W, C] to 16 x 16 px by areas: float32 [N, D].

    Divided by sqrt(D), so that a Euclidean distance is a root mean square difference in levels.
    """
    size = (THUMBNAIL, THUMBNAIL)
    small = [cv2.resize(i.astype(np.float32), size, interpolation=cv2.INTER_AREA) for i in images]
    flat = np.stack(small).reshape(len(images), -1)
    return flat / np.float32(np.sqrt(flat.shape[1]))


def moved(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Shift [N, H, W, C] by whole pixels; what comes in repeats the edge."""
    height, width = images.shape[1:3]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return images[:, rows[:, None], columns]


def _least_squares(versions: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return float64 [M]: squared distance of references [M, D] to the nearest of versions [V, D].

    Products say which version is the nearest; its distance is then measured, so equal is exactly 0.
    """
    rough = (versions**2).sum(axis=1)[:, None] - 2.0 * (versions @ references.T)
    return _squares(versions[rough.argmin(axis=0)], references)


def _squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances of rows, float64, measured as differences: [..., D] -> [...]."""
    squares: np.ndarray = ((x.astype(np.float64) - y) ** 2).sum(axis=-1)
    return squares


def nearest_rows(queries: np.ndarray, reference: np.ndarray, count: int) -> Neighbours:
    """Find the `count` nearest rows of reference [M, D] for each of queries [N, D].

    By products in float32, then measured in float64: the distance of equal rows is exactly 0.
    """
    count = min(count, len(reference))
    norms = (reference.astype(np.float32) ** 2).sum(axis=1)
    parts = [
        _strip(queries[start : start + STRIP], reference, norms, count)
        for start in range(0, len(queries), STRIP)
    ]
    distances, indices = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Neighbours(distances, indices)


def _strip(
    queries: np.ndarray, reference: np.ndarray, norms: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    rough = norms - 2.0 * (queries.astype(np.float32) @ reference.astype(np.float32).T)
    kept = _least(rough, min(count + SPARE, len(reference)))
    squares = _squares(queries[:, None], reference[kept])
    order = np.argsort(squares, axis=1, kind="stable")[:, :count]
    return np.sqrt(np.take_along_axis(squares, order, 1)), np.take_along_axis(kept, order, 1)


def _least(values: np.ndarray, count: int) -> np.ndarray:
    """Return int [N, count]: where the least values of each row stand, in no order."""
    if count == values.shape[1]:
        return np.broadcast_to(np.arange(count), values.shape)
    return np.argpartition(values, count - 1, axis=1)[:, :count]


def _fellow(found: Neighbours, own: np.ndarray) -> np.ndarray:
    """Distance to the nearest that is not the image itself."""
    first_is_self = found.indices[:, 0] == own
    return np.where(first_is_self, found.distances[:, 1], found.distances[:, 0])
