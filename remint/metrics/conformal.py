"""Conformal risk control: a bound set on held-out cases keeps its expected loss on a new one.

Angelopoulos et al., "Conformal risk control" (arXiv 2208.02814, theorem 1). It asks for cases that
are exchangeable with the new one and for losses that fall as the bound grows; of how the bound is
made it asks nothing.
"""

import math

import numpy as np


def least_cases(alpha: float) -> int:
    """Return how many cases the smallest statement at `alpha` needs: 1 / alpha - 1, rounded up."""
    return math.ceil(round(1 / alpha - 1, 9))


def controlled(losses: np.ndarray, alpha: float) -> int | None:
    """Return the first bound for which the mean loss of a new case is at most `alpha`.

    losses: [cases, bounds] in [0, 1], a row a case, not rising from left to right (equation 2:
    the first column with (n mean + 1) / (n + 1) <= alpha). None where no bound is wide enough.
    Raises ValueError for losses that are none.
    """
    count = len(losses)
    if not count or losses.min() < 0 or losses.max() > 1 or (np.diff(losses) > 1e-12).any():
        raise ValueError(
            f"losses: found an array of {losses.shape}, needed cases whose losses lie in 0 to 1 "
            "and do not rise as the bound grows"
        )
    enough = (losses.sum(axis=0) + 1) / (count + 1) <= alpha
    return int(enough.argmax()) if enough.any() else None
