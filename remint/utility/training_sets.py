"""From an arm to the images and targets that its classifier is trained on."""

import math
from dataclasses import dataclass, replace

import numpy as np

from remint.images.labelled import Labelled, joined
from remint.utility.arms import Added, Arm

UNEVEN = 2.0  # times the smallest class, beyond which the largest makes classes uneven


@dataclass(frozen=True)
class Case:
    """A fraction of the real training images, and what a generator of just these minted.

    minted: exported images; None where no fair synthetic set exists. raw: as many of each class as
    they were minted, before the filters; None where they were not kept. Of real and minted images,
    `soft` is what the export's classifier says, None where it is not known.
    """

    fraction: str
    real: Labelled
    minted: Labelled | None
    raw: Labelled | None = None

    def offers(self, arm: Arm) -> bool:
        """Say whether an arm can be judged fairly on this fraction, from what there is.

        Soft labels need them of real images too; as many real images as exported, fewer exported;
        minted images alone, or with labels shuffled, two classes of them.
        """
        if arm.balance != "none" and not uneven(self.real.labels):
            return False
        if self.minted is None:
            return not arm.minted
        if arm.raw and self.raw is None:
            return False
        if self._of_one_class and (arm.real != "all" or arm.added == "shuffled"):
            return False
        if arm.soft:
            return self.real.soft is not None and self.minted.soft is not None
        return arm.real != "as_many" or len(self.minted) < len(self.real)

    @property
    def _of_one_class(self) -> bool:
        """Whether the minted images teach nothing without others: those of one rare class."""
        return self.minted is not None and len(np.unique(self.minted.labels)) < 2

    def baseline(self, arm: Arm) -> str | None:
        """Return the arm's baseline: all real images where there are no more than exported ones."""
        few = self.minted is not None and len(self.minted) >= len(self.real)
        return "real" if arm.baseline == "real_as_many" and few else arm.baseline


def training_set(arm: Arm, case: Case, share: float, stream: np.random.Generator) -> Labelled:
    """Return what an arm trains on; its soft labels are those to learn from, None: its labels.

    Mixed arms hold every image they may use, whole turns over so that `share` of the set is added
    images: with equal optimiser steps, share is how much of the budget goes to them. Duplicates
    stand in for as many synthetic images; without a synthetic set for as many real ones.
    """
    data = _images(arm, case, share, stream)
    return data if arm.soft else replace(data, soft=None)


def _images(arm: Arm, case: Case, share: float, stream: np.random.Generator) -> Labelled:
    if arm.real == "none":
        return _minted(arm, case)
    if arm.real == "as_many":
        assert case.minted is not None
        return case.real.take(stream.permutation(len(case.real))[: len(case.minted)])
    if arm.balance == "oversampled":
        return case.real.take(oversampled(case.real.labels, stream))
    if arm.added == "nothing":
        return case.real
    return _mixed(arm.added, case, share, stream)


def _minted(arm: Arm, case: Case) -> Labelled:
    minted = case.raw if arm.raw else case.minted
    assert minted is not None
    return minted


def _mixed(added: Added, case: Case, share: float, stream: np.random.Generator) -> Labelled:
    kept, more = mixture(len(case.real), len(case.minted or case.real), share)
    turns = case.real.take(repeated(len(case.real), kept, stream))
    additions = _additions(added, case, stream)
    return joined([turns, additions.take(repeated(len(additions), more, stream))])


def _additions(added: Added, case: Case, stream: np.random.Generator) -> Labelled:
    if added == "duplicates":
        return case.real
    assert case.minted is not None
    if added == "synthetic":
        return case.minted
    return replace(case.minted, labels=stream.permutation(case.minted.labels), soft=None)


def mixture(real: int, added: int, share: float) -> tuple[int, int]:
    """Return how many rows of each kind make added / (real + added) = share, using all images."""
    kept = max(real, math.ceil(added * (1 - share) / share))
    return kept, max(added, math.ceil(real * share / (1 - share)))


def repeated(images: int, rows: int, stream: np.random.Generator) -> np.ndarray:
    """Return int64 [rows] indices below `images`, in whole turns, the last a random part."""
    whole, rest = divmod(rows, images)
    turns = np.tile(np.arange(images), whole)
    return np.concatenate([turns, stream.permutation(images)[:rest]])


def uneven(labels: np.ndarray) -> bool:
    """Say whether the largest class has more than UNEVEN times as many images as the smallest."""
    counts = np.unique(labels, return_counts=True)[1]
    return bool(counts.max() > UNEVEN * counts.min())


def oversampled(labels: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """Return indices that name every class as often as the largest, in whole turns and a part."""
    members = [np.flatnonzero(labels == name) for name in np.unique(labels)]
    most = max(map(len, members))
    return np.concatenate([own[repeated(len(own), most, stream)] for own in members])


def weighted_targets(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return float32 [N, classes]: the label's column holds its class's weight, others 0.

    Weights are inverse to a class's images and 1 in the mean over images, so that cross-entropy
    with these targets is the class-weighted one.
    """
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    weights = len(labels) / ((counts > 0).sum() * np.maximum(counts, 1))
    return (np.eye(classes)[labels] * weights[labels, None]).astype(np.float32)
