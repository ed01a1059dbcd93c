"""Dead leaves: pictures without a photographer, drawn by anyone, whose statistics are nature's.

Shapes of every size lie over one another, the later ones occluding the earlier (Lee, Mumford,
Huang, "Occlusion models for natural images", IJCV 2001): radii follow r^-3, colours are those of
photographs, surfaces are textured and shaded (Achddou et al., "VibrantLeaves", arXiv 2504.10201).
Denoisers taught by such pictures come close to those taught by photographs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le

from remint.core.randomness import generator
from remint.images import imagefile
from remint.ingest.embedded import inside
from remint.ingest.items import Item, Source

# Whose colours are taken: training photographs alone, so that held-out ones stay unseen
PALETTES = (
    ("sklearn/datasets/images", "china.jpg"),
    ("sklearn/datasets/images", "flower.jpg"),
    ("skimage/data", "motorcycle_left.png"),
)
OVERSAMPLED = 2  # edges are drawn at twice the size and averaged
COVERED = 6.0  # times the area of the picture that all leaves have together
FIELDS = 10  # textures of one picture, shared by its leaves


@dataclass(frozen=True)
class DeadLeavesConfig:
    """What the source dead_leaves draws: how many images, and their side in pixels."""

    images: Annotated[int, Ge(0), Le(10**7)]
    side: Annotated[int, Ge(16), Le(4096)]


def dead_leaves_source(config: DeadLeavesConfig, seed: int) -> Source:
    """Return `images` colour pictures; picture n depends on (seed, n, side) alone."""

    def items() -> Iterator[Item]:
        for number in range(config.images):
            draw = partial(draw_leaves, config.side, seed, number)
            yield Item(f"seed={seed},side={config.side},number={number}", draw)

    return Source(config.images, items)


def draw_leaves(side: int, seed: int, number: int) -> np.ndarray:
    """Return picture `number`, uint8 [side, side, 3] RGB."""
    stream = generator(seed, "dead_leaves", str(number), side)
    whole = side * OVERSAMPLED
    leaf = _stacked_leaves(whole, stream)
    pixels = _painted(leaf, int(leaf.max()) + 1, stream)
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    sigma = stream.uniform(0.2, 0.6)  # pixels: the softness of a lens
    return np.rint(cv2.GaussianBlur(small, (0, 0), sigma).clip(0, 255)).astype(np.uint8)


def _stacked_leaves(side: int, stream: np.random.Generator) -> np.ndarray:
    """Return int32 [side, side]: which leaf lies on top, 0 where none does."""
    smallest, largest = stream.uniform(3, 16), stream.uniform(0.3, 1.0) * side
    # of r^-3 between the two: mean area pi E[r^2], E[r^2] = 2 ln(b / a) / (a^-2 - b^-2)
    mean_area = 2 * np.pi * np.log(largest / smallest) / (smallest**-2 - largest**-2)
    count = int(COVERED * side**2 / mean_area) + 1
    levels = stream.random(count)
    radii = (largest**-2 + levels * (smallest**-2 - largest**-2)) ** -0.5
    centres = stream.uniform(-0.1 * side, 1.1 * side, (count, 2))
    leaf = np.zeros((side, side), np.int32)
    for index, (radius, centre) in enumerate(zip(radii, centres, strict=True), start=1):
        outline = centre + radius * _outline(stream)
        cv2.fillPoly(leaf, [np.rint(outline * 16).astype(np.int32)], index, cv2.LINE_8, shift=4)
    return leaf


def _outline(stream: np.random.Generator) -> np.ndarray:
    """Return float64 [corners, 2] of a shape of radius 1: disc, polygon or rounded blob, turned."""
    form, turn, stretch = stream.random(3)
    corners = int(stream.integers(3, 8)) if form < 0.4 else 32
    angles = 2 * np.pi * (np.arange(corners) / corners + turn)
    radii = np.ones(corners)
    if form < 0.4:  # a polygon, its corners shifted
        angles += stream.normal(0, 0.6 / corners, corners)
        radii = stream.uniform(0.6, 1.2, corners)
    elif form < 0.75:  # a blob: the radius waves around the centre
        waves = stream.normal(0, 0.12, (2, 4)) / np.arange(1, 5)
        turns = np.outer(np.arange(1, 5), angles)
        radii = 1 + waves[0] @ np.cos(turns) + waves[1] @ np.sin(turns)
    points = radii[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    return points * (1, 0.4 + 0.6 * stretch) @ _rotation(2 * np.pi * stream.random())


def _rotation(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _painted(leaf: np.ndarray, count: int, stream: np.random.Generator) -> np.ndarray:
    """Return float32 [side, side, 3] in about 0..255: each leaf textured between two colours."""
    side = len(leaf)
    half = side // OVERSAMPLED  # textures have the final picture's resolution
    first, second = np.split(_colours(2 * count, stream), 2)
    # many surfaces are nearly plain, some are of strong contrast
    contrast = (stream.beta(0.8, 1.4, count)[:, None] * (second - first)).astype(np.float32)
    fields = np.stack([_texture(half, stream) for _ in range(FIELDS)])
    kinds = stream.integers(0, FIELDS, count)
    rows, columns = np.arange(side)[:, None], np.arange(side)[None, :]
    texture = fields[kinds[leaf], rows // OVERSAMPLED, columns // OVERSAMPLED]
    slopes = (stream.normal(0, 25 / side, (2, count))).astype(np.float32)  # levels a pixel
    shade = slopes[0][leaf] * (rows - side / 2) + slopes[1][leaf] * (columns - side / 2)
    mixed = first.astype(np.float32)[leaf] + texture[:, :, None] * contrast[leaf]
    return (mixed + shade[:, :, None]).astype(np.float32)


def _texture(side: int, stream: np.random.Generator) -> np.ndarray:
    """Return float32 [side, side] of mean 0 and deviation 1/2: stripes, or noise of many scales."""
    noise = _octaves(side, stream.uniform(-0.1, 0.9), stream)
    if stream.random() < 0.4:  # cloth, grass, brick: stripes that bend, from 2.5 px a period
        angle, period = stream.uniform(0, np.pi), np.exp(stream.uniform(np.log(2.5), np.log(25)))
        step = np.arange(side, dtype=np.float32)
        phase = np.add.outer(step * np.sin(angle), step * np.cos(angle)) / period
        bent = phase + stream.uniform(0, 1.0) * _octaves(side, 1.2, stream)
        noise = np.sin(2 * np.pi * bent) * (1 + np.float32(0.3) * noise)
    return ((noise - noise.mean()) / (2 * noise.std() + 1e-6)).astype(np.float32)


def _octaves(side: int, roughness: float, stream: np.random.Generator) -> np.ndarray:
    """Return float32 [side, side]: noise on grids of 4, 8, 16, ... nodes, weaker as they refine."""
    total, nodes = np.zeros((side, side), np.float32), 4
    while nodes <= side:
        grid = stream.standard_normal((nodes, nodes), dtype=np.float32)
        finer = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        total += finer * np.float32((nodes / 4) ** -roughness)
        nodes *= 2
    return total


def _colours(count: int, stream: np.random.Generator) -> np.ndarray:
    """Draw float64 [count, 3] from one photograph's pixels, in another light."""
    pixels = _pixels(*PALETTES[int(stream.integers(len(PALETTES)))])
    drawn = pixels[stream.integers(0, len(pixels), count)] / 255
    haze = stream.uniform(0.5, 1.0)  # of the contrast is left
    drawn = drawn.mean(axis=0) + haze * (drawn - drawn.mean(axis=0))
    grey = drawn.mean(axis=1, keepdims=True)
    saturated = grey + stream.uniform(0.4, 1.3) * (drawn - grey)
    gamma = np.exp(stream.normal(0, 0.25) + stream.normal(0, 0.08, 3))  # exposure, and its tint
    return np.clip(saturated, 0, 1) ** gamma * 255


@cache
def _pixels(folder: str, name: str) -> np.ndarray:
    """Return the photograph's pixels, uint8 [pixels, 3]."""
    return imagefile.read(inside(folder) / name).reshape(-1, 3)
