"""The arms of the experiment: what each one trains its classifier on."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from remint.images.labelled import Labelled, joined

Added = Literal["nothing", "synthetic", "shuffled", "duplicates"]


@dataclass(frozen=True)
class Arm:
    """title: for people; baseline: the arm it is compared with, none for the baselines."""

    title: str
    real: bool
    added: Added
    augment: Literal["none", "classical"]
    baseline: str | None

    @property
    def minted(self) -> bool:
        """Say whether it needs synthetic images (duplicates take their number from them)."""
        return self.added in ("synthetic", "shuffled")


ARMS = {
    "real": Arm("real", True, "nothing", "none", None),
    "real_classical": Arm("real + classical augmentation", True, "nothing", "classical", "real"),
    "real_synthetic": Arm("real + synthetic", True, "synthetic", "none", "real"),
    "real_classical_synthetic": Arm(
        "real + classical + synthetic", True, "synthetic", "classical", "real_classical"
    ),
    "synthetic": Arm("synthetic only", False, "synthetic", "none", "real"),
    "real_duplicates": Arm(
        "real + duplicates (budget control)", True, "duplicates", "none", "real"
    ),
    "real_shuffled": Arm("real + synthetic, labels shuffled", True, "shuffled", "none", "real"),
}


@dataclass(frozen=True)
class Objective:
    """arm against baseline; onto: what the synthetic images are added to, in words."""

    arm: str
    baseline: str
    onto: str


# What a verdict is given on, by the name that params.yaml uses for the primary one.
COMPARISONS = {
    "plain": Objective("real_synthetic", "real", "real images"),
    "classical": Objective(
        "real_classical_synthetic",
        "real_classical",
        "real images with classical augmentation",
    ),
}


def training_set(
    arm: Arm, real: Labelled, minted: Labelled | None, share: float, stream: np.random.Generator
) -> Labelled:
    """Return what an arm trains on.

    Mixed arms hold every image they may use, whole turns over so that `share` of the set is added
    images: with equal optimiser steps, share is how much of the budget goes to them. Duplicates
    stand in for as many synthetic images; without a synthetic set for as many real ones.
    """
    if arm.added == "nothing":
        return real
    if not arm.real:
        assert minted is not None
        return minted
    kept, added = mixture(len(real), len(minted or real), share)
    turns = real.take(repeated(len(real), kept, stream))
    more = _additions(arm.added, real, minted, stream)
    return joined([turns, more.take(repeated(len(more), added, stream))])


def _additions(
    added: Added, real: Labelled, minted: Labelled | None, stream: np.random.Generator
) -> Labelled:
    if added == "duplicates":
        return real
    assert minted is not None
    if added == "synthetic":
        return minted
    return Labelled(minted.images, stream.permutation(minted.labels), minted.ids)


def mixture(real: int, added: int, share: float) -> tuple[int, int]:
    """Return how many rows of each kind make added / (real + added) = share, using all images."""
    kept = max(real, math.ceil(added * (1 - share) / share))
    return kept, max(added, math.ceil(real * share / (1 - share)))


def repeated(images: int, rows: int, stream: np.random.Generator) -> np.ndarray:
    """Return int64 [rows] places below `images`, in whole turns, the last of them a random part."""
    whole, rest = divmod(rows, images)
    turns = np.tile(np.arange(images), whole)
    return np.concatenate([turns, stream.permutation(images)[:rest]])
