"""Where pictures go that look the same: as one pass over all of them in memory would say."""

import numpy as np
import pytest

from remint.images.imageset import SPLITS
from remint.ingest import pictures as module
from remint.ingest.pictures import PICTURE, Pictures

BLANK = bytes(256)


def reference(told: np.ndarray, groups: list[np.ndarray]) -> dict[int, str]:
    """Join groups and hashed pictures of one key, each with each; decide for each joint group."""
    names = np.arange(len(told))
    alike = [(a, b) for group in groups for a in group for b in group]
    free = np.flatnonzero(~told["fixed"])
    alike += [(a, b) for a in free for b in free if told["key"][a] == told["key"][b]]
    for a, b in alike:
        names[names == names[b]] = names[a]
    moves = {}
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        hashed = members[~told["fixed"][members]]
        given = set(told["split"][members]) if not len(hashed) else set()
        given |= set(told["split"][np.setdiff1d(members, hashed)])
        if len(hashed) and len(set(told["split"][members])) > 1:
            home = told["split"][min(hashed, key=lambda index: told["key"][index])]
            if given and not told["own_test"][hashed].any():
                home = min(given)
            moves |= {int(i): SPLITS[home] for i in hashed if told["split"][i] != home}
    return moves


@pytest.mark.parametrize("size", [20, 100, 10_000])
@pytest.mark.parametrize("seed", range(8))
def test_moves_hang_on_no_range(monkeypatch, size: int, seed: int):
    monkeypatch.setattr(module, "RANGE", size)
    drawn = np.random.default_rng(seed)
    told = np.zeros(300, PICTURE)
    told["key"] = drawn.integers(0, 2**64, 200, np.uint64)[drawn.integers(0, 200, 300)]
    told["split"] = told["key"] % np.uint64(3)
    told["fixed"], told["own_test"] = drawn.random((2, 300)) < [[0.2], [0.1]]
    odd = told["fixed"] | told["own_test"]
    told["split"][odd] = drawn.integers(0, 3, odd.sum())
    groups = [np.sort(part) for part in np.split(drawn.permutation(300)[:60], 20)]
    kept = Pictures()
    for row in told:
        kept.add(BLANK, int(row["key"]), 0, 1, SPLITS[row["split"]], row["fixed"], row["own_test"])
    known = reference(told, groups)
    assert kept.moves(groups) == known and len(known) > 20
