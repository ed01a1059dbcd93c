"""Near-duplicates by ranges of their hash are those of each compared with each."""

import tracemalloc

import numpy as np
import pytest

from remint.core.spilled import Spilled
from remint.ingest.cells import cells
from remint.ingest.lookalikes import FLAT, LEVELS, SHARE, alike, components, near_pairs

PLACED = np.dtype([("index", np.int64), ("reach", np.float32), ("place", np.float32, 3)])


def reference(thumbnails: np.ndarray) -> list[list[int]]:
    """Compare each with each, and follow the links."""
    spread = thumbnails.std(axis=1, dtype=np.float32)
    reach = np.where(spread < FLAT, -1.0, np.minimum(LEVELS, SHARE * spread))
    names = np.arange(len(thumbnails))
    for i in range(len(thumbnails)):
        levels = np.minimum(reach[i], reach[i + 1 :])
        for j in i + 1 + np.flatnonzero(alike(thumbnails[i + 1 :], thumbnails[i], levels)):
            names[names == names[j]] = names[i]
    groups = [np.flatnonzero(names == name).tolist() for name in set(names.tolist())]
    return sorted(group for group in groups if len(group) > 1)


def planted(seed: int, count: int, contrast: float) -> np.ndarray:
    """Return uint8 [count, 256]: smooth pictures, half of them others with some noise or shade."""
    drawn = np.random.default_rng(seed)
    coarse = drawn.normal(0, contrast, (count, 4, 4))
    pixels = 128 + np.kron(coarse, np.ones((1, 4, 4))).reshape(count, 256)
    likes = drawn.integers(0, count // 2, count - count // 2)
    noise = drawn.uniform(0, 1, (len(likes), 1)) * drawn.normal(0, 1, (len(likes), 256))
    shade = drawn.normal(0, 0.4, (len(likes), 1))
    pixels[count // 2 :] = pixels[likes] + min(6, 0.15 * contrast) * (noise + shade)
    return np.clip(pixels, 0, 255)[drawn.permutation(count)].astype(np.uint8)


@pytest.mark.parametrize("cell", [64, 150, 400, 10_000])
@pytest.mark.parametrize(("seed", "contrast"), [(0, 60.0), (1, 30.0), (2, 8.0), (3, 4.0)])
def test_groups_are_those_of_each_compared_with_each(cell: int, seed: int, contrast: float):
    pixels = planted(seed, 900, contrast)
    links = near_pairs([pixels[:500], pixels[500:]], cell)
    known = reference(pixels)
    assert [group.tolist() for group in components(links)] == known and len(known) > 20


def test_a_crowd_that_no_plane_divides_is_one_group():
    drawn = np.random.default_rng(0)
    pixels = np.tile(np.linspace(0, 255, 256), (3000, 1)) + drawn.uniform(-0.9, 0.9, (3000, 256))
    groups = components(near_pairs([np.clip(pixels, 0, 255).astype(np.uint8)], 100))
    assert [len(group) for group in groups] == [3000]


@pytest.mark.parametrize("seed", range(5))
def test_both_ends_of_a_pair_within_reach_share_a_cell(seed: int):
    drawn = np.random.default_rng(seed)
    points = Spilled(PLACED)
    rows = np.empty(1500, PLACED)
    rows["index"], rows["place"] = np.arange(1500), drawn.uniform(0, 10, (1500, 3))
    rows["reach"] = drawn.uniform(0, 1.5, 1500)
    points.extend(rows)
    parts = [part[:]["index"] for part in cells(points, 100)]
    together = np.zeros((1500, 1500), bool)
    for part in parts:
        together[np.ix_(part, part)] = True
    apart = np.linalg.norm(rows["place"][:, None] - rows["place"], axis=2)
    within = apart <= np.minimum.outer(rows["reach"], rows["reach"]) - 1e-4
    assert len(parts) > 5 and within.sum() > 3000 and together[within].all()
    assert together.mean() < 0.6


def test_memory_does_not_grow_with_the_pictures():
    def peak(count: int) -> int:
        tracemalloc.start()
        near_pairs(planted(seed, 1000, 60.0) for seed in range(count // 1000))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(30_000) < 1.2 * peak(15_000)
