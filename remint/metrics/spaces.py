"""Spaces in which an image may lie too near to a training image: pixels, alignment, features.

No single distance sees every copy: features of a network forgive a shift but jump at slight noise,
small pixels forgive noise and lose what is fine, alignment sees fine texture wherever it moved to
and loses what is flat.
"""

from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np

from remint.metrics.nearest import Neighbours, nearest_rows

THUMBNAIL = 16
STEPS = (0.0, -1.0, -0.5, 0.5, 1.0)  # of the largest shift that is tried, on each axis
CANDIDATES = 100  # training images, nearest without a shift, for which shifts are tried
TWO = 2  # the nearest, and the second for the ratio
SAME = 0.1  # part of an image's own contrast within which another is the same image


class Space(Protocol):
    """Where distances to the training images are measured. name: part of figures' names."""

    name: str
    unit: str

    def neighbours(self, images: np.ndarray) -> Neighbours:
        """Find the two nearest training images of uint8 [N, H, W, C]."""
        ...

    def among_training(self, members: np.ndarray) -> Neighbours:
        """Find the two nearest others of training images, named by int [N]."""
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
        return nearest_rows(self._extract(images), self._training, TWO)

    def among_training(self, members: np.ndarray) -> Neighbours:
        """Find the two nearest others of training images, named by int [N]."""
        return nearest_rows(self._training[members], self._training, TWO, members)


class PixelSpace:
    """Root mean square difference in grey levels (0..255) at 16 x 16 px, the least over 25 shifts.

    Shifts of the looked-up image on a 5 x 5 grid of up to `shift` of its side, edges replicated,
    are tried against its 100 nearest training images; held-out images get the same search.
    """

    name = "pixels"
    unit = f"grey levels at {THUMBNAIL} x {THUMBNAIL} px"

    def __init__(self, training: np.ndarray, shift: float) -> None:
        """training: uint8 [M, H, W, C]; shift: largest one, as a share of the side."""
        self._images, self._training = training, thumbnails(training)
        side = max(training.shape[1:3])
        pixels = [round(part * shift * side) for part in STEPS]
        self._shifts = list(dict.fromkeys((down, right) for down in pixels for right in pixels))

    def neighbours(self, images: np.ndarray) -> Neighbours:
        """Find the two nearest training images of uint8 [N, H, W, C]."""
        return self.among(self.versions(images), self._training)

    def among_training(self, members: np.ndarray) -> Neighbours:
        """Find the two nearest others of training images, named by int [N]."""
        return self.among(self.versions(self._images[members]), self._training, members)

    def versions(self, images: np.ndarray) -> np.ndarray:
        """Return the thumbnails of images [N, H, W, C] by shift, none first: float32 [N, V, D]."""
        return np.stack([thumbnails(moved(images, *shift)) for shift in self._shifts], axis=1)

    def among(
        self, versions: np.ndarray, rows: np.ndarray, own: np.ndarray | None = None
    ) -> Neighbours:
        """Find the two nearest of some thumbnails [M, D]; own: int [N], which does not count."""
        plain = nearest_rows(versions[:, 0], rows, CANDIDATES, own)
        distances, indices = [], []
        for tried, unshifted, candidates in zip(
            versions, plain.distances, plain.indices, strict=True
        ):
            values = np.sqrt(_least_squares(tried, rows[candidates]))
            values[np.isinf(unshifted)] = np.inf
            order = np.argsort(values, kind="stable")[:TWO]
            distances.append(values[order])
            indices.append(candidates[order])
        return Neighbours(np.array(distances), np.array(indices))


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Shrink uint8 [N, H, W, C] to 16 x 16 px by areas: float32 [N, D].

    Divided by sqrt(D), so that a Euclidean distance is a root mean square difference in levels.
    """
    size = (THUMBNAIL, THUMBNAIL)
    small = [cv2.resize(i.astype(np.float32), size, interpolation=cv2.INTER_AREA) for i in images]
    flat = np.stack(small).reshape(len(images), -1)
    return flat / np.float32(np.sqrt(flat.shape[1]))


def same_levels(images: np.ndarray, levels: float) -> np.ndarray:
    """Return float64 [N]: how far from each of uint8 [N, H, W, C] the same image may lie.

    In grey levels at 16 x 16 px: `levels`, but no more than a tenth of the image's own deviation,
    since pictures of little contrast lie within a few levels of each other without being alike.
    """
    pixels = thumbnails(images).reshape(len(images), THUMBNAIL**2, -1).astype(np.float64)
    spread = THUMBNAIL * np.sqrt(pixels.var(axis=1).sum(axis=1))
    return np.minimum(levels, SAME * spread)


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
    nearest = versions[rough.argmin(axis=0)].astype(np.float64)
    squares: np.ndarray = ((nearest - references) ** 2).sum(axis=1)
    return squares
