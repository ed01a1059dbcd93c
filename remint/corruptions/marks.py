"""Marks on an image: scratches, stains, text and ink.

The kinds are those of old photographs (Wan et al. 2020, "Bringing Old Photos Back to Life",
arXiv 2004.09484, 4.1: structured defects) and of written-over documents; the drawing is ours.
Lengths follow the image's shorter side, line widths never fall under one pixel.
"""

import string
from collections.abc import Sequence

import cv2
import numpy as np

from remint.corruptions.drawing import (
    Recipe,
    Shape,
    View,
    at,
    integer,
    stream_key,
    to_levels,
    uniform,
    unit,
    view_of,
)
from remint.corruptions.holes import draw_path
from remint.corruptions.tone import smooth_field

CAPITAL = 21  # pixels: height of a capital of the Hershey fonts at scale 1
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)
STAINS = ((0.62, 0.45, 0.24), (0.55, 0.47, 0.36), (0.42, 0.34, 0.22))  # coffee, damp, rust
INKS = ((20, 20, 25), (25, 30, 95), (110, 25, 30))


def _cover(
    image: np.ndarray, opacity: np.ndarray, colour: np.ndarray | Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Lay `colour` over the image, opacity uint8 HW, and return it with the mask of all touched."""
    share = opacity[:, :, None] * np.float32(1 / 255)
    covered = image + (np.asarray(colour, np.float32) - image) * share
    return to_levels(covered), np.where(opacity > 0, np.uint8(255), np.uint8(0))


def _points(path: Sequence[Sequence[int]]) -> list[np.ndarray]:
    return [np.array(path, np.int32).reshape(-1, 1, 2)]


def scratches(
    image: np.ndarray,
    *,
    paths: Sequence[Sequence[Sequence[int]]],
    widths: Sequence[int],
    tones: Sequence[int],
    opacities: Sequence[int],
    view: View | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Scratch the image along paths of (x, y) points, tones and opacities in 0..255."""
    where = view_of(image, view)
    opacity, tone = (np.zeros(where.canvas, np.uint8) for _ in range(2))
    for path, width, level, strength in zip(paths, widths, tones, opacities, strict=True):
        cv2.polylines(tone, _points(path), False, level, width + 2)
        cv2.polylines(opacity, _points(path), False, strength, width, cv2.LINE_AA)
    return _cover(image, where.cut(opacity), where.cut(tone)[:, :, None])


def _draw_scratch(shape: Shape, generator: np.random.Generator) -> list[list[int]]:
    """Draw a path down the image, leaning and wavering a little: a scratch of film or print."""
    height, width = shape[:2]
    reach = height * uniform(generator, 0.25, 1)
    y = generator.uniform(0, height - reach) + np.linspace(0, reach, 8)
    lean, waver = generator.uniform(-0.15, 0.15) * reach, 0.008 * width
    x = generator.uniform(0, width - 1) + np.linspace(0, lean, 8) + generator.normal(0, waver, 8)
    return [[round(a), round(b)] for a, b in zip(x.tolist(), y.tolist(), strict=True)]


def draw_scratches(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """3 to 20 scratches at 224 px, some of them curled hairs, light more often than dark.

    Small images have fewer, since no scratch is thinner than a pixel.
    """
    count = max(1, round(at((3, 5, 8, 13, 20), severity) * min(1, unit(shape)) ** 0.5))
    hair = 0.04 * min(shape[:2])
    paths = [
        _draw_scratch(shape, generator)
        if generator.random() < 0.7
        else draw_path(shape, hair, 12, 0.6, generator)
        for _ in range(count)
    ]
    dark = generator.random(count) < 0.25
    tones = np.where(dark, generator.integers(0, 40, count), generator.integers(215, 256, count))
    widest = max(1, round(at((1, 1, 1.6, 2, 2.6), severity) * unit(shape)))
    return [
        {
            "operation": "scratches",
            "paths": paths,
            "widths": np.maximum(1, np.rint(widest * generator.random(count) ** 2))
            .astype(int)
            .tolist(),
            "tones": tones.tolist(),
            "opacities": generator.integers(140, 256, count).tolist(),
        }
    ]


def stains(
    image: np.ndarray,
    *,
    blots: Sequence[Sequence[float]],
    tint: Sequence[float],
    key: str,
    view: View | None = None,
) -> np.ndarray:
    """Soak the paper: blots (x, y, radius, depth), ragged and darker at the rim, keep `tint`.

    tint: the share of each channel's light that a blot of depth 1 leaves; x, y, radius in pixels.
    """
    where = view_of(image, view)
    dye = np.zeros(where.canvas, np.float32)
    ragged = smooth_field(key, where.shape, 13) * np.float32(0.2)
    for blot in blots:
        near = _window(where.shape, *blot[:3])
        dye[near] = np.maximum(dye[near], _soaked(ragged[near], near, blot))
    left = 1 - where.cut(dye)[:, :, None] * (1 - np.array(tint, np.float32))
    return to_levels(image * left)


def _window(shape: Shape, x: float, y: float, radius: float) -> tuple[slice, slice]:
    """Return the rows and columns that a blot can reach, its ragged edge included."""
    ends = [(round(c - 2 * radius) - 1, round(c + 2 * radius) + 2) for c in (y, x)]
    rows, columns = (
        slice(max(0, a), min(side, b)) for (a, b), side in zip(ends, shape, strict=False)
    )
    return rows, columns


def _soaked(ragged: np.ndarray, near: tuple[slice, slice], blot: Sequence[float]) -> np.ndarray:
    """Return the dye, 0..depth, of one blot in its window: some inside, most at the rim."""
    x, y, radius, depth = blot
    rows = np.arange(near[0].start, near[0].stop, dtype=np.float32)[:, None]
    columns = np.arange(near[1].start, near[1].stop, dtype=np.float32)[None, :]
    distance = np.hypot(columns - x, rows - y) / radius + ragged
    inside = np.clip((1 - distance) * 12, 0, 1)
    rim = np.exp(-(((distance - 0.93) / 0.06) ** 2))
    return depth * np.clip(0.6 * inside + 0.4 * rim, 0, 1)


def draw_stains(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """1 to 5 stains, radius up to 12 to 35 % of the shorter side, one tint an image."""
    height, width, channels = shape
    largest = at((0.12, 0.17, 0.22, 0.28, 0.35), severity) * min(height, width)
    blots = [
        [
            uniform(generator, 0.1 * width, 0.9 * width),
            uniform(generator, 0.1 * height, 0.9 * height),
            max(0.5, uniform(generator, 0.4 * largest, largest)),
            at((0.35, 0.5, 0.65, 0.8, 0.95), severity),
        ]
        for _ in range(integer(generator, 1, max(1, round(severity))))
    ]
    tint = STAINS[integer(generator, 0, len(STAINS) - 1)]
    shares = list(tint) if channels == 3 else [round(sum(tint) / 3, 5)]
    return [{"operation": "stains", "blots": blots, "tint": shares, "key": stream_key(generator)}]


def text(
    image: np.ndarray,
    *,
    lines: Sequence[str],
    places: Sequence[Sequence[int]],
    height: float,
    font: int,
    width: int,
    colour: Sequence[int],
    view: View | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Print lines of text over the image, capitals `height` pixels high, strokes `width` wide."""
    where = view_of(image, view)
    opacity = np.zeros(where.canvas, np.uint8)
    for line, (x, y) in zip(lines, places, strict=True):
        cv2.putText(opacity, line, (x, y), font, height / CAPITAL, 255, width, cv2.LINE_AA)
    return _cover(image, where.cut(opacity), colour)


def _draw_words(generator: np.random.Generator) -> str:
    letters = np.array(list(string.ascii_letters + string.digits))
    lengths = generator.integers(2, 9, integer(generator, 1, 4))
    return " ".join("".join(generator.choice(letters, size)) for size in lengths)


def draw_text(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """1 to 6 lines in capitals of 12 to 26 px at 224 px, 7 px at least; any colour."""
    height = max(7.0, round(at((12, 14, 17, 21, 26), severity) * unit(shape), 5))
    count = round(at((1, 2, 3, 4, 6), severity))
    places = [
        [integer(generator, -round(height), shape[1] // 2), integer(generator, 2, shape[0] + 1)]
        for _ in range(count)
    ]
    return [
        {
            "operation": "text",
            "lines": [_draw_words(generator) for _ in range(count)],
            "places": places,
            "height": height,
            "font": FONTS[integer(generator, 0, len(FONTS) - 1)],
            "width": max(1, round(height / 10)),
            "colour": generator.integers(0, 256, shape[2]).tolist(),
        }
    ]


def ink(
    image: np.ndarray,
    *,
    paths: Sequence[Sequence[Sequence[int]]],
    width: int,
    blots: Sequence[Sequence[int]],
    colour: Sequence[int],
    view: View | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Write over the image: pen strokes `width` pixels wide and round blots (x, y, radius)."""
    where = view_of(image, view)
    opacity = np.zeros(where.canvas, np.uint8)
    for path in paths:
        cv2.polylines(opacity, _points(path), False, 240, width, cv2.LINE_AA)
    for x, y, radius in blots:
        cv2.circle(opacity, (x, y), radius, 255, cv2.FILLED, cv2.LINE_AA)
    return _cover(image, where.cut(opacity), colour)


def draw_ink(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """1 to 7 pen strokes and up to 5 blots in one dark ink."""
    side = min(shape[:2])
    count = max(1, round(at((2, 3, 4, 5, 7), severity) * min(1, unit(shape)) ** 0.5))
    largest = max(1, round(side * at((0.03, 0.04, 0.05, 0.065, 0.08), severity)))
    blots = [
        [
            *(integer(generator, 0, shape[axis] - 1) for axis in (1, 0)),
            integer(generator, 1, largest),
        ]
        for _ in range(integer(generator, 0, round(severity)))
    ]
    colour = INKS[integer(generator, 0, len(INKS) - 1)]
    return [
        {
            "operation": "ink",
            "paths": [draw_path(shape, 0.04 * side, 36, 0.7, generator) for _ in range(count)],
            "width": max(1, round(at((1.5, 2, 2.5, 3, 4), severity) * unit(shape))),
            "blots": blots,
            "colour": list(colour) if shape[2] == 3 else [round(sum(colour) / 3)],
        }
    ]
