"""Kernel distance (KID): squared maximum mean discrepancy under a cubic kernel, unbiased.

Binkowski et al., "Demystifying MMD GANs" (arXiv 1801.01401), section 4. Its expectation is 0 for
equal distributions at every N (single values may be negative), so it suits small samples.
"""

from dataclasses import dataclass

import numpy as np

MINIMUM_BLOCK = 20
BLOCKS = 10
STRIP = 1024


@dataclass(frozen=True)
class KernelDistance:
    """mean: the distance; standard_error: its uncertainty over sampling (NaN where unknown)."""

    mean: float
    standard_error: float


def cubic_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """k(x, y) = (x . y / D + 1)^3 for all pairs of rows: [N, D], [M, D] -> [N, M]."""
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def squared_mmd(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the unbiased estimate of MMD^2 (Gretton et al., JMLR 2012, eq. 3): features [N, D]."""
    x, y = real.astype(np.float64), fake.astype(np.float64)
    n, m = len(x), len(y)
    if min(n, m) < 2:
        raise ValueError(f"A kernel distance needs 2 images a side at least, found {n} and {m}.")
    reals = (_kernel_sum(x, x) - _diagonal_sum(x)) / (n * (n - 1))
    fakes = (_kernel_sum(y, y) - _diagonal_sum(y)) / (m * (m - 1))
    return float(reals + fakes - 2.0 * _kernel_sum(x, y) / (n * m))


def kernel_distance(real: np.ndarray, fake: np.ndarray) -> KernelDistance:
    """Return MMD^2 of features [N, D] and [M, D] with a standard error from disjoint blocks.

    The mean uses all pairs at once; the standard error is that of the mean over up to 10 blocks of
    20 images or more that share nothing, hence slightly too large rather than too small.
    """
    blocks = min(BLOCKS, min(len(real), len(fake)) // MINIMUM_BLOCK)
    if blocks < 2:
        return KernelDistance(squared_mmd(real, fake), float("nan"))
    parts = zip(np.array_split(real, blocks), np.array_split(fake, blocks), strict=True)
    values = np.array([squared_mmd(x, y) for x, y in parts])
    error = values.std(ddof=1) / np.sqrt(blocks)
    return KernelDistance(squared_mmd(real, fake), float(error))


def kernel_distance_of_subsets(
    real: np.ndarray, fake: np.ndarray, subsets: int, size: int, generator: np.random.Generator
) -> KernelDistance:
    """Return the published form: the mean over random subsets (usually 100 of 1,000).

    standard_error is the spread over subsets, the figure that is usually printed: subsets overlap,
    so it is no error of the mean. Raises ValueError where a side holds fewer than `size`.
    """
    if min(len(real), len(fake)) < size:
        raise ValueError(
            f"KID subsets of {size} need as many images a side, found {len(real)} and {len(fake)}; "
            "ask for smaller subsets."
        )
    values = [
        squared_mmd(
            real[generator.choice(len(real), size, replace=False)],
            fake[generator.choice(len(fake), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(values)), float(np.std(values)))


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    """Sum of all kernel values, in strips of rows: memory grows with M, not with N times M."""
    starts = range(0, len(x), STRIP)
    return float(sum(cubic_kernel(x[start : start + STRIP], y).sum() for start in starts))


def _diagonal_sum(x: np.ndarray) -> float:
    return float((((x * x).sum(axis=1) / x.shape[1] + 1.0) ** 3).sum())
