"""Planted copies: training images, exact, noisy or shifted, that a copy check ought to find."""

from dataclasses import dataclass

import cv2
import numpy as np

from remint.core.randomness import generator
from remint.metrics.spaces import moved


@dataclass(frozen=True)
class Alteration:
    """noise: standard deviation in levels of 0..255; shift: in px, along an axis or a diagonal;
    turn: largest rotation in degrees, either way."""

    noise: float = 0.0
    shift: int = 0
    turn: float = 0.0

    def words(self) -> str:
        """Say what was done to a copy."""
        parts = [
            f"noisy (std {self.noise:g})" if self.noise else "",
            f"shifted ({self.shift} px)" if self.shift else "",
            f"turned ({self.turn:g} degrees)" if self.turn else "",
        ]
        return " and ".join(filter(None, parts)) or "exact"


def kinds(noise: float, shift_share: float, turn: float, side: int) -> dict[str, Alteration]:
    """Return what is planted, by name; shift_share of the side, at least 1 px.

    Turned copies are none that the check tries out: they show what it misses.
    """
    shift = max(1, round(shift_share * side))
    return {
        "exact": Alteration(),
        "noisy": Alteration(noise=noise),
        "shifted": Alteration(shift=shift),
        "noisy_shifted": Alteration(noise=noise, shift=shift),
        "turned": Alteration(turn=turn),
    }


def plant(training: np.ndarray, count: int, alteration: Alteration, seed: int) -> np.ndarray:
    """Return uint8 [K, H, W, C]: copies of up to `count` training images.

    Drawn without replacement, the same ones for every alteration; noise is rounded and clipped as
    in an image file.
    """
    drawn = generator(seed, "planting", "images").permutation(len(training))[:count]
    return np.stack([_altered(training[row], alteration, seed, int(row)) for row in drawn])


def _altered(image: np.ndarray, alteration: Alteration, seed: int, row: int) -> np.ndarray:
    stream = generator(seed, "planting", str(row))
    directions = [(d, r) for d in (-1, 0, 1) for r in (-1, 0, 1) if (d, r) != (0, 0)]
    down, right = directions[stream.integers(len(directions))]
    copy = moved(image[None], alteration.shift * down, alteration.shift * right)[0]
    copy = _turned(copy, alteration.turn * stream.choice([-1.0, 1.0]))
    noise = alteration.noise * stream.standard_normal(image.shape)
    return np.clip(np.rint(copy + noise), 0, 255).astype(np.uint8)


def _turned(image: np.ndarray, degrees: float) -> np.ndarray:
    if degrees == 0:
        return image
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    turned = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return turned.reshape(image.shape)
