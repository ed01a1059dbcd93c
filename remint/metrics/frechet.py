"""Frechet distance between Gaussians fitted to two sets of features, in float64.

Heusel et al., "GANs trained by a two time-scale update rule" (arXiv 1706.08500), eq. 6:
|mu_r - mu_f|^2 + Tr(S_r + S_f - 2 (S_r S_f)^0.5). The value falls as N grows even for equal
distributions: it means something only beside N and a real-against-real floor at the same N.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Statistics:
    """Features reduced to a Gaussian: mean [D], covariance [D, D] (divided by n - 1), count n."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int

    @cached_property
    def root(self) -> np.ndarray:
        """Symmetric square root of the covariance; computed once for a reference used often."""
        values, vectors = np.linalg.eigh(self.covariance)
        return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T


def statistics(features: np.ndarray) -> Statistics:
    """Reduce features [N, D] to their Gaussian; raises ValueError for fewer than two rows."""
    _check(features)
    rows = features.astype(np.float64)
    return Statistics(rows.mean(axis=0), np.cov(rows, rowvar=False), len(rows))


def frechet_distance(real: Statistics, fake: Statistics) -> float:
    """Return the distance of two Gaussians; `real.root` is reused from call to call.

    Tr (S_r S_f)^0.5 is the sum of the square roots of the eigenvalues of R S_f R with R = S_r^0.5:
    symmetric, so real by construction.
    """
    product = real.root @ fake.covariance @ real.root
    values = np.linalg.eigvalsh((product + product.T) / 2)
    return _distance(real, fake, float(np.sqrt(np.clip(values, 0.0, None)).sum()))


def frechet_distance_of_few(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the same distance from features [N, D] and [M, D] directly; fast where N, M << D.

    With centred features X and Y, Tr (S_r S_f)^0.5 = |X Y^T|_* / sqrt((N - 1)(M - 1)), the nuclear
    norm: exact, and no D x D matrix is made.
    """
    _check(real)
    _check(fake)
    x, y = real.astype(np.float64), fake.astype(np.float64)
    difference = x.mean(axis=0) - y.mean(axis=0)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    nuclear = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    n, m = len(x) - 1, len(y) - 1
    traces = (x**2).sum() / n + (y**2).sum() / m
    return float(difference @ difference + traces - 2 * nuclear / np.sqrt(n * m))


def frechet_distance_of_features(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the distance of features [N, D] and [M, D], by the cheaper of the two exact ways."""
    if max(len(real), len(fake)) < real.shape[1] / 2:
        return frechet_distance_of_few(real, fake)
    return frechet_distance(statistics(real), statistics(fake))


def _distance(real: Statistics, fake: Statistics, trace_of_root: float) -> float:
    difference = real.mean - fake.mean
    traces = np.trace(real.covariance) + np.trace(fake.covariance)
    return float(difference @ difference + traces - 2.0 * trace_of_root)


def _check(features: np.ndarray) -> None:
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(
            f"A Frechet distance needs features [N, D], N at least 2; found {features.shape}."
        )
