"""Bootstrap intervals of means over images (Efron, Annals of Statistics 1979).

For means of per-image figures only: resampling with replacement shifts a Frechet distance.
"""

from dataclasses import dataclass

import numpy as np

AT_ONCE = 64  # resamples in memory


@dataclass(frozen=True)
class Interval:
    """mean, with the ends of its interval."""

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: np.ndarray,
    generator: np.random.Generator,
    *,
    resamples: int,
    confidence: float,
    clusters: np.ndarray | None = None,
) -> Interval:
    """Return the mean of values [N] with its percentile interval.

    clusters: [N] labels of what was drawn independently (the clean image behind each damaged one);
    whole clusters are resampled, so that ten damages of one picture do not count as ten pictures.
    For paired gains pass the differences. Raises ValueError for no values.
    """
    if len(values) == 0:
        raise ValueError("A bootstrap interval needs at least one value, found none.")
    mean = float(np.mean(values))
    sums, counts = _clustered(values.astype(np.float64), clusters)
    if len(sums) == 1:  # scipy wants two
        return Interval(mean, mean, mean)
    from scipy import stats  # half a second, which stages without it are spared

    drawn = stats.bootstrap(
        (sums, counts),
        lambda s, n, axis: s.sum(axis) / n.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=resamples,
        confidence_level=confidence,
        batch=AT_ONCE,
        rng=generator,
    )
    low, high = drawn.confidence_interval
    return Interval(mean, float(low), float(high))


def _clustered(values: np.ndarray, clusters: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    if clusters is None:
        return values, np.ones(len(values))
    _, inverse = np.unique(clusters, return_inverse=True)
    return np.bincount(inverse, values), np.bincount(inverse).astype(np.float64)
