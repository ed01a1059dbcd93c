"""Hashes on the disk know what sets in memory know, and leave nothing behind."""

import numpy as np
import pytest

from remint.core.scratch import ScratchTable
from remint.ingest.remembered import Ids, PictureKeys
from tests.test_disk_full import LIMIT, no_file_above


@pytest.mark.parametrize("seed", range(3))
def test_ids_are_first_met_where_a_dictionary_says_so(seed: int, tmp_path):
    drawn = np.random.default_rng(seed)
    ids, known = Ids(tmp_path), {}
    for number in range(5000):
        id, label = int(drawn.integers(3000)).to_bytes(16, "little"), [None, number][number % 2]
        assert ids.earlier(id, label) == known.get(id)
        known.setdefault(id, (len(known), label))
        assert len(ids) == len(known)
    assert not list(tmp_path.iterdir())


def test_keys_are_counted_as_sets_count_them():
    drawn = np.random.default_rng(0)
    keys, known = PictureKeys(), {"train": set(), "val": set(), "test": set()}
    for split, key in zip(
        drawn.choice(list(known), 3000), drawn.integers(0, 500, 3000), strict=True
    ):
        key = int(key) * (2**64 // 500)
        known[split].add(key)
        keys.add(str(split), key)
        if key % 3 == 0:
            known["train"].discard(key)
            keys.discard("train", key)
    assert keys.counts() == {split: len(found) for split, found in known.items()}


def test_a_full_disk_is_an_error_of_the_system(tmp_path):
    table = ScratchTable("CREATE TABLE t (a)", tmp_path)
    with no_file_above(LIMIT), pytest.raises(OSError, match=r"on the disk: (.*full|disk I/O)"):
        for _ in range(20_000):
            table.run("INSERT INTO t VALUES (?)", ("a" * 1000,))
