"""Splits: decided by a hash, so that they hold their shares and never move."""

from collections import Counter

import pytest

from remint.ingest.splits import Shares, split_of

SHARES = Shares(0.7, 0.15, 0.15)
KEYS = [f"image {n}" for n in range(4000)]


def test_shares_are_held():
    counts = Counter(split_of(key, SHARES, 1) for key in KEYS)
    assert counts["train"] / 4000 == pytest.approx(0.7, abs=0.03)
    assert counts["val"] / 4000 == pytest.approx(0.15, abs=0.03)


def test_the_split_of_a_key_is_fixed_for_ever():
    known = ["train", "train", "test", "train", "val", "train", "train", "val"]
    assert [split_of(key, SHARES, 1) for key in KEYS[:8]] == known


def test_another_seed_deals_anew():
    moved = sum(split_of(key, SHARES, 1) != split_of(key, SHARES, 2) for key in KEYS)
    assert moved > 1000


def test_a_larger_test_share_keeps_all_of_the_smaller_one():
    small = {key for key in KEYS if split_of(key, SHARES, 1) == "test"}
    large = {key for key in KEYS if split_of(key, Shares(0.5, 0.2, 0.3), 1) == "test"}
    assert small < large


def test_a_share_of_zero_gets_nothing():
    assert {split_of(key, Shares(1.0, 0.0, 0.0), 1) for key in KEYS} == {"train"}


@pytest.mark.parametrize("wrong", [(0.5, 0.5, 0.5), (0.0, 0.0, 0.0)])
def test_shares_must_add_up_to_one(wrong):
    with pytest.raises(ValueError, match="add up to 1"):
        Shares(*wrong)
