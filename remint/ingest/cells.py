"""Points by ranges of their coordinates: cells that fit memory and hold every pair within reach.

A sample of the points says where planes divide them, like a k-d tree; every point then goes to the
file of its cell. What lies below a plane, and within reach of it, is copied above it: then at
least one cell holds both ends of a pair, whatever the planes. A copy stands on the plane and has
spent its distance to it, so that it goes no further than a neighbour may lie.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from remint.core.spilled import Spilled

SAMPLE = 8192  # points that planes are drawn by
LEAST = 256  # of them a cell: some hundred open files; more cells come of dividing again
BLOCK = 8192  # points in memory on their way to their cells
WORTH = 0.75  # share of the points that the larger side may hold


@dataclass(frozen=True)
class Plane:
    """Divides what lies below a coordinate from the rest; None: a side that is one cell."""

    axis: int
    height: float
    below: "Plane | None"
    above: "Plane | None"


def cells(points: Spilled, size: int, folder: Path | None = None) -> Iterator[Spilled]:
    """Yield the points by cells of about `size`, larger where they lie too close to be divided.

    points: rows with the fields "place" (float32 [D]) and "reach" (float32, of a Euclidean
    length); each pair whose distance is within both its reaches stands together in a cell.
    """
    plane = _first_plane(points, size) if len(points) > size else None
    if plane is None:
        yield points
        return
    parts = [Spilled(points.dtype, folder) for _ in _sides(plane)]
    for block in points.blocks(BLOCK):
        for part, rows in zip(parts, _dealt(plane, block), strict=True):
            part.extend(rows)
    while parts:
        part = parts.pop()
        yield from cells(part, size, folder) if len(part) < WORTH * len(points) else [part]


def _sample(points: Spilled) -> tuple[np.ndarray, np.ndarray]:
    step = -(-len(points) // SAMPLE)
    drawn = np.concatenate([block[::step].copy() for block in points.blocks(BLOCK)])
    return drawn["place"], drawn["reach"]


def _first_plane(points: Spilled, size: int) -> Plane | None:
    places, reaches = _sample(points)
    return _divided(places, reaches, max(LEAST, len(places) * size / len(points)))


def _divided(places: np.ndarray, reaches: np.ndarray, least: float) -> Plane | None:
    if len(places) <= least:
        return None
    middles = np.median(places, axis=0)
    gaps = middles - places
    larger = np.maximum((gaps > 0).mean(axis=0), (gaps <= reaches[:, None]).mean(axis=0))
    axis = int(larger.argmin())
    if larger[axis] > WORTH:
        return None
    below = gaps[:, axis] > 0
    above = gaps[:, axis] <= reaches
    return Plane(
        axis,
        float(middles[axis]),
        _divided(places[below], reaches[below], least),
        _divided(*_lifted(places[above], reaches[above], axis, float(middles[axis])), least),
    )


def _lifted(
    places: np.ndarray, reaches: np.ndarray, axis: int, height: float
) -> tuple[np.ndarray, np.ndarray]:
    gaps = np.maximum(0, np.float32(height) - places[:, axis])
    places[:, axis] += gaps
    return places, np.sqrt(np.maximum(0, reaches**2 - gaps**2))


def _sides(plane: Plane | None) -> Iterator[None]:
    if plane is None:
        yield None
    else:
        yield from _sides(plane.below)
        yield from _sides(plane.above)


def _dealt(plane: Plane | None, rows: np.ndarray) -> Iterator[Any]:
    """Yield the rows of each cell, cell by cell from below; copies as they stand there."""
    if plane is None:
        yield rows
        return
    gaps = np.float32(plane.height) - rows["place"][:, plane.axis]
    yield from _dealt(plane.below, rows[gaps > 0])
    above = rows[gaps <= rows["reach"]]
    above["place"], above["reach"] = _lifted(
        above["place"], above["reach"], plane.axis, plane.height
    )
    yield from _dealt(plane.above, above)
