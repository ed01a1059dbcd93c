"""From predictions to figures: accuracy and macro-F1 of every arm, and gains over its baseline."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from remint.utility.arms import ARMS
from remint.utility.crossed import (
    Estimate,
    class_f1_shares,
    correct,
    crossed_estimate,
    macro_f1_shares,
)
from remint.utility.fits import Experiment, Fit, predictions


class Outcomes:
    """Figures of all arms; differences are paired by seed and by test image.

    predictions: int64 [S, I] of each (case, arm).
    """

    def __init__(self, experiment: Experiment, fits: Sequence[Fit], labels: np.ndarray) -> None:
        """labels: int64 [I] of the test images."""
        self.experiment, self.labels = experiment, labels
        self._confidence = experiment.utility.confidence
        self._fits = {(f.job.case, f.job.name): f for f in fits}
        self.predictions = {key: predictions(fits, *key) for key in self._fits}
        named = self.predictions.items()
        self._correct = {key: correct(chosen, labels) for key, chosen in named}
        self._f1 = {key: macro_f1_shares(chosen, labels) for key, chosen in named}

    def has(self, case: int, name: str) -> bool:
        """Say whether an arm was fitted on a fraction."""
        return (case, name) in self._correct

    def images(self, case: int, name: str) -> int:
        """Return how many different images an arm trained on."""
        return self._fits[case, name].images

    def accuracy(self, case: int, name: str) -> Estimate:
        """Return an arm's accuracy, a share in 0..1."""
        return crossed_estimate(self._correct[case, name], self._confidence)

    def gain(self, case: int, name: str, baseline: str) -> Estimate:
        """Return the accuracy of an arm above that of another, in percentage points."""
        return self._difference(self._correct, case, name, baseline)

    def seed_gains(self, case: int, name: str, baseline: str) -> np.ndarray:
        """Return the gain of each paired seed, float64 [S], in percentage points."""
        difference = self._correct[case, name] - self._correct[case, baseline]
        return 100 * difference.mean(axis=1)

    def gain_f1(self, case: int, name: str, baseline: str) -> Estimate:
        """Return the macro-F1 of an arm above that of another, in percentage points."""
        return self._difference(self._f1, case, name, baseline)

    def recall(self, case: int, name: str, label: int) -> Estimate:
        """Return an arm's accuracy on the test images of one class, a share in 0..1."""
        of_class = self._correct[case, name][:, self.labels == label]
        return crossed_estimate(of_class, self._confidence)

    def gain_recall(self, case: int, name: str, baseline: str, label: int) -> Estimate:
        """Return the recall of a class above that of another arm, in percentage points."""
        of_class = {key: c[:, self.labels == label] for key, c in self._correct.items()}
        return self._difference(of_class, case, name, baseline)

    def class_f1(self, case: int, name: str, label: int) -> np.ndarray:
        """Return what each test image adds to the F1 of one class, float64 [S, I]."""
        return class_f1_shares(self.predictions[case, name], self.labels, label)

    def gain_class_f1(self, case: int, name: str, baseline: str, label: int) -> Estimate:
        """Return the F1 of a class above that of another arm, in percentage points."""
        shares = {(case, arm): self.class_f1(case, arm, label) for arm in (name, baseline)}
        return self._difference(shares, case, name, baseline)

    def _difference(
        self, shares: dict[tuple[int, str], np.ndarray], case: int, name: str, baseline: str
    ) -> Estimate:
        difference = shares[case, name] - shares[case, baseline]
        return crossed_estimate(difference, self._confidence).points()

    def table(self) -> list[dict[str, Any]]:
        """Return one row a fraction and arm: accuracy, macro-F1, and gains in points."""
        return [self._row(case, name) for case, name in self._ordered()]

    def _ordered(self) -> list[tuple[int, str]]:
        cases = range(len(self.experiment.cases))
        return [(case, name) for case in cases for name in ARMS if self.has(case, name)]

    def _row(self, case: int, name: str) -> dict[str, Any]:
        arm, data = ARMS[name], self.experiment.cases[case]
        row: dict[str, Any] = {"fraction": data.fraction, "arm": name, "title": arm.title}
        row |= {"real_images": len(data.real), "images": self.images(case, name)}
        row |= {"training_rows": self._fits[case, name].rows}
        row |= {"steps": self.experiment.steps(arm)}
        row["seeds"] = len(self.predictions[case, name])
        row |= _named("accuracy", self.accuracy(case, name))
        row |= _named("macro_f1", crossed_estimate(self._f1[case, name], self._confidence))
        if baseline := data.baseline(arm):
            row["baseline"] = baseline
            row |= _named("gain", self.gain(case, name, baseline))
            row |= _named("gain_macro_f1", self.gain_f1(case, name, baseline))
        return row


def _named(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
