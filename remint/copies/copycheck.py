"""A copy check: do synthetic images lie nearer to training images than other real images do?

It looks for copies, and can only find what it is able to see: hence the self-test with planted
ones. It is no statement about privacy.
"""

from dataclasses import dataclass

import numpy as np

from remint.metrics.nearest import Neighbours
from remint.metrics.spaces import Space
from remint.metrics.suspects import Lookup


def suspicion(lookup: Lookup, held_out: Lookup) -> np.ndarray:
    """Return float64 [N]: the least share, over the rules, of held-out images that look as copied.

    0 is more copy-like than every held-out image by some rule.
    """
    reference = held_out.statistics()
    shares = [
        np.searchsorted(np.sort(reference[rule]), values, side="left") / len(held_out)
        for rule, values in lookup.statistics().items()
    ]
    return np.min(shares, axis=0)


@dataclass(frozen=True)
class NearnessTest:
    """z: below 0 where synthetic images lie nearer; nearer_share: how often one lies nearer to
    training than a held-out one (0.5: no difference)."""

    z: float
    nearer_share: float


def compare_distances(
    synthetic: np.ndarray,
    held_out: np.ndarray,
    synthetic_strata: np.ndarray,
    held_out_strata: np.ndarray,
) -> NearnessTest:
    """Compare distances to training of synthetic [N] and held-out [M] images, class by class.

    The test of data copying C_T (Meehan, Chaudhuri & Dasgupta, arXiv 2004.05675, section 3) with
    classes as the cells: in each the Mann-Whitney U of "a synthetic distance exceeds a held-out
    one"; its sum, centred and scaled under equal distributions (van Elteren 1960, equal weights),
    so z is standard normal without copying. Strata that lack a side do not count; ValueError when
    none is left.
    """
    totals = np.zeros(4)  # U, its expectation, its variance, pairs
    for name in np.unique(held_out_strata):
        x, y = synthetic[synthetic_strata == name], held_out[held_out_strata == name]
        if len(x) and len(y):
            totals += _mann_whitney(x, y)
    above, expected, variance, pairs = totals
    if pairs == 0:
        raise ValueError("Synthetic and held-out images share no class; nothing can be compared.")
    z = float((above - expected) / np.sqrt(variance)) if variance > 0 else 0.0
    return NearnessTest(z, 1.0 - float(above / pairs))


def _mann_whitney(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return U of x above y, expectation, variance with ties (Lehmann 1975, eq. 1.29), pairs."""
    from scipy import stats  # half a second, spared at the start of a stage

    n, m = len(x), len(y)
    both = np.concatenate([x, y])
    above = stats.rankdata(both)[:n].sum() - n * (n + 1) / 2
    ties = np.unique(both, return_counts=True)[1].astype(np.float64)
    total = n + m
    lost = (ties**3 - ties).sum() / (total * (total - 1)) if total > 1 else 0.0
    return np.array([above, n * m / 2, n * m / 12 * (total + 1 - lost), n * m])


def authentic(neighbours: Neighbours, space: Space) -> np.ndarray:
    """Return bool [N]: the nearest training image lies nearer to another training image than here.

    Authenticity of Alaa et al., "How faithful is your synthetic data?" (arXiv 2102.08921), eq. 7:
    an image nearer to its training neighbour than that one's own fellow may be a noisy copy. About
    half of all honest images fail it, so its share is read beside that of held-out ones.
    """
    members, member_of = np.unique(neighbours.indices[:, 0], return_inverse=True)
    fellows: np.ndarray = space.among_training(members).nearest[member_of]
    return neighbours.nearest > fellows


def excess_p(suspected: int, total: int, held_out_suspected: int, held_out: int) -> float:
    """Return p of "as many would be suspected among real ones" (Fisher's exact test, one-sided)."""
    from scipy import stats

    table = [
        [suspected, total - suspected],
        [held_out_suspected, held_out - held_out_suspected],
    ]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)
