"""Precision, recall, density and coverage: figures of who lies in whose nearest-neighbour ball.

Precision and recall: Kynkaanniemi et al. (arXiv 1904.06991), section 3. Density and coverage:
Naeem et al. (arXiv 2002.09797), section 3. Distances are Euclidean. The many come from a float32
matrix product; wherever rounding could decide, they are computed again in float64 from the
differences, so that figures are those of exact arithmetic at float32's cost.
"""

from dataclasses import dataclass

import numpy as np
import torch

from remint.metrics.nearest import nearest_squares, pair_squares

PRECISION_NEIGHBOUR = 3
COVERAGE_NEIGHBOUR = 5
STRIP = 512  # rows compared at once: memory grows with N, not with its square
ROUNDING = 1e-5  # of |x|^2 + |y|^2: beyond what float32 products are off by


@dataclass(frozen=True)
class NeighbourScores:
    """All higher better. density may exceed 1; the others are shares, 0..1."""

    precision: float
    recall: float
    density: float
    coverage: float


def neighbour_scores(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    precision_k: int = PRECISION_NEIGHBOUR,
    coverage_k: int = COVERAGE_NEIGHBOUR,
) -> NeighbourScores:
    """Compare features [N, D] and [M, D].

    precision: fakes in the ball of any real one; recall: reals in the ball of any fake one (both
    balls reach to the precision_k-th neighbour within their own set). density: real balls around a
    fake one, over coverage_k; coverage: real balls that hold a fake one (coverage_k-th neighbour).
    Raises ValueError where a set has no such neighbour.
    """
    centre = real.mean(axis=0, dtype=np.float64)
    reals, fakes = _Points(real, centre), _Points(fake, centre)
    radii = _to_nearest_others(real, max(precision_k, coverage_k))
    fake_radii = _to_nearest_others(fake, precision_k)[:, -1]
    precise, recalled = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    covered, balls = np.zeros(len(real), bool), 0
    for rows in reals.strips():
        strip = _Strip(reals, fakes, rows)
        precise |= strip.inside(radii[rows, precision_k - 1][:, None]).any(axis=0)
        recalled[rows] = strip.inside(fake_radii[None]).any(axis=1)
        wide = strip.inside(radii[rows, coverage_k - 1][:, None])
        covered[rows] = wide.any(axis=1)
        balls += int(np.count_nonzero(wide))
    density = balls / (coverage_k * len(fake))
    return NeighbourScores(
        float(precise.mean()), float(recalled.mean()), density, float(covered.mean())
    )


class _Points:
    """Features [N, D] as they are, and in float32 about a centre, where squares round less."""

    def __init__(self, values: np.ndarray, centre: np.ndarray) -> None:
        self.values = values
        self.centred = torch.from_numpy((values - centre).astype(np.float32))
        self.norms = self.centred.square().sum(1)

    def strips(self) -> list[slice]:
        count = len(self.values)
        return [slice(s, min(s + STRIP, count)) for s in range(0, count, STRIP)]


class _Strip:
    """Squared distances of some rows of x to all of y."""

    def __init__(self, x: _Points, y: _Points, rows: slice) -> None:
        self.x, self.y, self.start = x, y, rows.start
        products = torch.addmm(y.norms[None], x.centred[rows], y.centred.T, alpha=-2.0)
        self.values = products.add_(x.norms[rows][:, None]).numpy()
        norms = x.norms[rows].numpy()[:, None] + float(y.norms.max())
        self.margin = ROUNDING * norms  # [n, 1]: how far the values may be off

    def inside(self, radii: np.ndarray) -> np.ndarray:
        """Return bool [n, M]: within squared radii [n, 1] or [1, M]; exact where it is close."""
        inside = self.values <= radii + self.margin
        sure = self.values <= radii - self.margin
        rows, columns = np.divmod(np.flatnonzero(inside ^ sure), self.values.shape[1])
        squares = pair_squares(self.x.values, self.y.values, rows + self.start, columns)
        limits = np.broadcast_to(radii, self.values.shape)[rows, columns]
        inside[rows, columns] = squares <= limits
        return inside


def _to_nearest_others(features: np.ndarray, k: int) -> np.ndarray:
    """Return squared distances to the nearest others, float64 [N, k]; ValueError for fewer."""
    if features.ndim != 2 or k < 1 or len(features) <= k:
        raise ValueError(
            f"Neighbour {k} needs features [N, D], N above {k}; found {features.shape}; take more "
            "images."
        )
    return nearest_squares(features, features, k, np.arange(len(features)))[0]
