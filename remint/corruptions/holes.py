"""Holes: pixels that are gone, with the mask that says which (LaMa, arXiv 2109.07161, 3.3)."""

from collections.abc import Sequence

import cv2
import numpy as np

from remint.corruptions.drawing import Recipe, Shape, View, at, integer, uniform, view_of

FILL = 128  # mid-grey: 0 inside the networks, and rarely what a digit or a photograph has flat


def _filled(image: np.ndarray, mask: np.ndarray, fill: int) -> tuple[np.ndarray, np.ndarray]:
    return np.where(mask[:, :, None] > 0, np.uint8(fill), image), mask


def boxes(
    image: np.ndarray, *, corners: Sequence[Sequence[int]], fill: int, view: View | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fill boxes (top, left, bottom, right; the last two excluded) and return their mask."""
    where = view_of(image, view)
    mask = np.zeros(where.canvas, np.uint8)
    for top, left, bottom, right in corners:
        mask[top:bottom, left:right] = 255
    return _filled(image, where.cut(mask), fill)


def strokes(
    image: np.ndarray,
    *,
    paths: Sequence[Sequence[Sequence[int]]],
    widths: Sequence[int],
    fill: int,
    view: View | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Fill brush strokes, each a path of (x, y) points of one width, and return their mask."""
    where = view_of(image, view)
    mask = np.zeros(where.canvas, np.uint8)
    for path, width in zip(paths, widths, strict=True):
        points = np.array(path, np.int32).reshape(-1, 1, 2)
        cv2.polylines(mask, [points], False, 255, width)
    return _filled(image, where.cut(mask), fill)


def _draw_box(shape: Shape, most: float, generator: np.random.Generator) -> list[int]:
    """Draw one box with sides of .5 to 1 of `most`, wholly inside the image."""
    sides = [max(1, round(min(shape[:2]) * uniform(generator, most / 2, most))) for _ in range(2)]
    top, left = (integer(generator, 0, shape[axis] - sides[axis]) for axis in range(2))
    return [top, left, top + sides[0], left + sides[1]]


def draw_box_holes(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Cut 1 to 4 boxes with sides of up to 14 to 45 % of the image's shorter one (LaMa)."""
    most = at((0.14, 0.2, 0.28, 0.36, 0.45), severity)
    corners = [_draw_box(shape, most, generator) for _ in range(integer(generator, 1, 4))]
    return [{"operation": "boxes", "corners": corners, "fill": FILL}]


def draw_path(
    shape: Shape, step: float, points: int, bend: float, generator: np.random.Generator
) -> list[list[int]]:
    """Draw a path of (x, y) points that starts inside the image and turns by up to `bend` radians.

    step: pixels from point to point, each drawn from .5 to 1 of it.
    """
    x, y = (generator.uniform(0, side - 1) for side in (shape[1], shape[0]))
    heading = generator.uniform(0, 2 * np.pi)
    path = [[round(x), round(y)]]
    for _ in range(points - 1):
        heading += generator.uniform(-bend, bend)
        distance = step * generator.uniform(0.5, 1)
        x, y = x + distance * np.cos(heading), y + distance * np.sin(heading)
        path.append([round(x), round(y)])
    return path


def draw_stroke_holes(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Paint 1 to 5 strokes, up to 4 to 18 % of the image's shorter side wide (LaMa)."""
    side = min(shape[:2])
    width = side * at((0.04, 0.06, 0.09, 0.13, 0.18), severity)
    step = side * at((0.12, 0.16, 0.2, 0.26, 0.32), severity)
    count = integer(generator, 1, 5)
    paths = [draw_path(shape, step, integer(generator, 2, 6), 2.5, generator) for _ in range(count)]
    widths = [max(1, round(width * uniform(generator, 0.5, 1))) for _ in range(count)]
    return [{"operation": "strokes", "paths": paths, "widths": widths, "fill": FILL}]


def draw_holes(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Boxes or strokes, by a fair coin (LaMa mixes both)."""
    kind = draw_box_holes if generator.random() < 0.5 else draw_stroke_holes
    return kind(shape, severity, generator)
