"""Intervals over two sources of chance at once: the training seed and the choice of test images.

A paired t-test over seeds alone treats the test split as the whole world: with 700 test images a
"certain" gain of half a point is three images. Here both vary, as readers and cases do in studies
of diagnoses, and the two-way analysis of variance gives the error of a mean over both.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and test images, the ends of its interval, and p of "it is zero"."""

    mean: float
    low: float
    high: float
    p: float

    def points(self) -> "Estimate":
        """Return the same in percentage points."""
        return Estimate(100 * self.mean, 100 * self.low, 100 * self.high, self.p)


def correct(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return what each test image adds to accuracy, float64 [S, I]: 1 if right, else 0.

    predictions: int [S, I] of S seeds; labels: int [I]. The mean of a row is its accuracy.
    """
    return (predictions == labels).astype(np.float64)


def macro_f1_shares(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return what each test image adds to the macro-F1, float64 [S, I].

    The mean of a row is its macro-F1 exactly, over the classes that occur in `labels`; deviations
    are the linearised ratio (Taylor linearisation: Woodruff, JASA 1971), so that macro-F1 takes
    the same intervals as accuracy. predictions: int [S, I]; labels: int [I].
    """
    classes = np.unique(labels)
    return np.stack([class_f1_shares(predictions, labels, name) for name in classes]).mean(axis=0)


def class_f1_shares(predictions: np.ndarray, labels: np.ndarray, name: int) -> np.ndarray:
    """Return what each test image adds to the F1 of one class, float64 [S, I]; as above.

    F1 = 2 TP / (predicted + true) = A / B; image i adds F1 + (a_i - F1 b_i) I / B.
    """
    predicted, true = predictions == name, labels == name
    hits = 2.0 * (predicted & true)
    marks = predicted.astype(np.float64) + true
    total = marks.sum(axis=1, keepdims=True)
    score = hits.sum(axis=1, keepdims=True) / total
    return score + (hits - score * marks) * len(labels) / total


def crossed_estimate(shares: np.ndarray, confidence: float) -> Estimate:
    """Return the mean of shares [S, I] with its interval over new seeds and new test images.

    Pass differences of two arms with the same seeds and images: both pairings then count. The error
    is sqrt(V / (S I)) with V = MS_seeds + max(MS_images - MS_rest, 0), and t quantiles are taken
    at V^2 / (MS_seeds^2 / (S - 1)) degrees of freedom (Dorfman, Berbaum & Metz, Investigative
    Radiology 1992; the degrees by Hillis, Statistics in Medicine 2007). Where V is 0, since seeds
    gain equally many images though not the same, MS_rest takes its place. Raises ValueError for
    fewer than two seeds or images.
    """
    seeds, images = shares.shape
    if min(seeds, images) < 2:
        raise ValueError(
            f"An interval needs two seeds and two test images at least, found {seeds} and {images}."
        )
    by_seed, by_image, rest = _mean_squares(shares)
    variance = by_seed + max(by_image - rest, 0.0) or rest
    mean, error = float(shares.mean()), float(np.sqrt(variance / (seeds * images)))
    if error == 0.0:
        return Estimate(mean, mean, mean, float(mean == 0.0))
    from scipy import stats  # half a second, spared at the start of a stage

    freedom = variance**2 / by_seed**2 * (seeds - 1) if by_seed > 0 else np.inf
    reach = float(stats.t.ppf(0.5 + confidence / 2, freedom)) * error
    p = 2.0 * float(stats.t.sf(abs(mean) / error, freedom))
    return Estimate(mean, mean - reach, mean + reach, p)


def _mean_squares(shares: np.ndarray) -> tuple[float, float, float]:
    """Return the mean squares of seeds, of images and of the rest, in a two-way table [S, I]."""
    seeds, images = shares.shape
    row = shares.mean(axis=1, keepdims=True) - shares.mean()
    column = shares.mean(axis=0, keepdims=True) - shares.mean()
    rest = shares - shares.mean() - row - column
    return (
        float(images * (row**2).sum() / (seeds - 1)),
        float(seeds * (column**2).sum() / (images - 1)),
        float((rest**2).sum() / ((seeds - 1) * (images - 1))),
    )


def holm(p_values: list[float]) -> list[float]:
    """Return p-values corrected for their number (Holm, Scand. Journal of Statistics 1979)."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, smallest in enumerate(np.argsort(p_values, kind="stable")):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[smallest]))
        adjusted[smallest] = running
    return adjusted
