"""What every kind of damage shares: severity tables, lengths, and values fit for a recipe.

A kind draws a recipe: a list of operations with every value that was drawn, as plain JSON. Dense
fields (noise, smooth blotches) stand in it as the key of a Philox stream of their own. Carrying a
recipe out is a pure function of pixels and recipe, so any damaged image can be made again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

Recipe = list[dict[str, Any]]
Shape = tuple[int, ...]  # (height, width, channels)


@dataclass(frozen=True)
class View:
    """Which part of a whole image the pixels at hand are: all of it, or a window.

    shape: of the whole image; rows, columns: of the window, within it, in pixels.
    """

    shape: Shape
    rows: slice
    columns: slice

    @property
    def canvas(self) -> tuple[int, int]:
        """The whole image's height and width: marks are drawn there, and then cut."""
        return self.shape[0], self.shape[1]

    def cut(self, whole: np.ndarray) -> np.ndarray:
        """Return the window of an array HW or HWC of the whole image."""
        return whole[self.rows, self.columns]


def view_of(image: np.ndarray, view: View | None) -> View:
    """Return the view that is given, or that of the whole image."""
    return view or View(image.shape, slice(0, image.shape[0]), slice(0, image.shape[1]))


REFERENCE_SIDE = 224  # pixels: the image side for which the published lengths hold
DIGITS = 5


def at(table: Sequence[float], severity: float) -> float:
    """Read a table of severities 1..5, linear between its columns."""
    below = min(int(severity), 4)
    start, end = table[below - 1], table[below]
    return round(start + (severity - below) * (end - start), DIGITS)


def unit(shape: Shape) -> float:
    """Return how many pixels one pixel of the published tables is: min(height, width) / 224."""
    return min(shape[:2]) / REFERENCE_SIDE


def length(table: Sequence[float], floor: Sequence[float], severity: float, shape: Shape) -> float:
    """Read a table of lengths at 224 px, scaled to the image.

    floor: pixels; a table of the least lengths, for images so small that scaled ones do nothing.
    """
    return max(round(at(table, severity) * unit(shape), DIGITS), at(floor, severity))


def uniform(generator: np.random.Generator, low: float, high: float) -> float:
    """Draw from [low, high), rounded to what the recipe keeps."""
    return round(float(generator.uniform(low, high)), DIGITS)


def integer(generator: np.random.Generator, low: int, high: int) -> int:
    """Draw a whole number from low to high, both included."""
    return int(generator.integers(low, high, endpoint=True))


def stream_key(generator: np.random.Generator) -> str:
    """Draw the key of a new stream: 32 hex digits."""
    return generator.bit_generator.random_raw(2).tobytes().hex()


class _Key(np.random.bit_generator.ISeedSequence):
    """Hands a Philox its key as it is; numpy's `key` argument gathers needless entropy first."""

    def __init__(self, key: str) -> None:
        self.words = np.frombuffer(bytes.fromhex(key), np.uint64)

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> np.ndarray:
        """Return the two 64-bit words that Philox asks for."""
        return self.words


def _philox(key: str) -> np.random.Philox:
    return np.random.Philox(_Key(key))  # type: ignore[arg-type]  # numpy's stubs lack the interface


def stream(key: str) -> np.random.Generator:
    """Return the Philox stream of a recipe's key."""
    return np.random.Generator(_philox(key))


def words(key: str, count: int) -> np.ndarray:
    """Return `count` independent uint16 of the stream, uniform over 0..65535."""
    return _philox(key).random_raw(-(-count // 4)).view(np.uint16)[:count]


def to_levels(values: np.ndarray) -> np.ndarray:
    """Round float values of 0..255 half to even and clip them to uint8, shape kept."""
    return cv2.addWeighted(values, 1.0, values, 0.0, 0.0, dtype=cv2.CV_8U).reshape(values.shape)
