"""Rows on the disk read back as they were written."""

import numpy as np

from remint.core.spilled import WAITING, Spilled

ROW = np.dtype([("a", np.int64), ("b", np.uint8, 3)])


def test_rows_added_one_by_one_and_together_come_back_in_order():
    spilled = Spilled(ROW)
    for number in range(WAITING + 5):
        spilled.append((number, (1, 2, 3)))
    more = np.zeros(7, ROW)
    more["a"] = np.arange(7) + len(spilled)
    spilled.extend(more)
    spilled.append((WAITING + 12, (4, 5, 6)))
    assert len(spilled) == WAITING + 13
    read = np.concatenate(list(spilled.blocks(1000)))
    assert read["a"].tolist() == list(range(WAITING + 13)) and read["b"][-1].tolist() == [4, 5, 6]
    assert spilled.at(np.array([2, WAITING + 6]))["a"].tolist() == [2, WAITING + 6]
    assert spilled[WAITING + 10 : WAITING + 99]["a"].tolist() == [WAITING + n for n in (10, 11, 12)]


def test_nothing_stays_on_the_disk(tmp_path):
    spilled = Spilled(ROW, tmp_path)
    spilled.extend(np.zeros(9, ROW))
    assert not list(tmp_path.iterdir()) and not len(spilled.at(np.empty(0, int)))
