"""Tone: light and colour that went, evenly or in patches."""

import cv2
import numpy as np

from remint.corruptions.drawing import (
    Recipe,
    Shape,
    View,
    at,
    stream,
    stream_key,
    to_levels,
    uniform,
    view_of,
)

SEPIA = (1.0, 0.86, 0.62)  # share of each channel that old paper still reflects


def contrast(image: np.ndarray, *, factor: float) -> np.ndarray:
    """Draw every channel towards its mean: (x - mean) factor + mean (ImageNet-C)."""
    dull = [
        cv2.convertScaleAbs(channel, alpha=factor, beta=mean * (1 - factor))
        for channel, mean in zip(cv2.split(image), cv2.mean(image), strict=False)
    ]
    return cv2.merge(dull).reshape(image.shape)


def draw_contrast(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Low contrast, factor .4 to .05 (ImageNet-C)."""
    return [{"operation": "contrast", "factor": at((0.4, 0.3, 0.2, 0.1, 0.05), severity)}]


def smooth_field(key: str, shape: Shape, nodes: int) -> np.ndarray:
    """Return a float32 HW field of unit variance at its nodes x nodes grid, cubic between."""
    grid = stream(key).standard_normal((nodes, nodes), dtype=np.float32)
    return cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def fading(
    image: np.ndarray,
    *,
    depth: float,
    lift: float,
    yellow: float,
    patches: float,
    key: str,
    view: View | None = None,
) -> np.ndarray:
    """Bleach an old print: dyes fade, black turns grey, paper yellows, all unevenly.

    Tone: (1 - depth) x + lift; yellow: share of the way to grey-on-sepia; patches: standard
    deviation, in levels, of smooth light over the picture. Cause and look after Wan et al. 2020,
    "Bringing Old Photos Back to Life" (arXiv 2004.09484, 4.1); the formula is ours.
    """
    where = view_of(image, view)
    light = where.cut(smooth_field(key, where.shape, 5)) * patches + lift * 255
    if image.shape[2] == 1:
        return to_levels(image * np.float32(1 - depth) + light[:, :, None])
    grey = np.outer(SEPIA, (0.299, 0.587, 0.114))
    matrix = (1 - depth) * ((1 - yellow) * np.eye(3) + yellow * grey)
    paper = (1 - yellow) + yellow * np.array(SEPIA, np.float32)
    mixed = cv2.transform(image.astype(np.float32), matrix)
    return to_levels(mixed + light[:, :, None] * paper.astype(np.float32))


def draw_fading(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Fade by 20 to 75 % of the range, the rest lifted (our own scale)."""
    depth = round(at((0.2, 0.32, 0.45, 0.6, 0.75), severity) * uniform(generator, 0.9, 1.1), 5)
    return [
        {
            "operation": "fading",
            "depth": depth,
            "lift": round(depth * uniform(generator, 0.35, 0.75), 5),
            "yellow": uniform(generator, 0.3, 0.9),
            "patches": at((3, 5, 8, 11, 14), severity),
            "key": stream_key(generator),
        }
    ]
