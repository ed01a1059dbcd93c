"""Precision, recall, density and coverage: figures of who lies in whose nearest-neighbour ball.

Precision and recall: Kynkaanniemi et al. (arXiv 1904.06991), section 3. Density and coverage:
Naeem et al. (arXiv 2002.09797), section 3. Distances are Euclidean. The many come from a float32
matrix product; wherever rounding could decide, they are computed again in float64 from the
differences, so that figures are those of exact arithmetic at float32's cost.
"""

from dataclasses import dataclass

import numpy as np
import torch

PRECISION_NEIGHBOUR = 3
COVERAGE_NEIGHBOUR = 5
STRIP = 512  # rows compared at once: memory grows with N, not with its square
SPARE = 3  # more neighbours than asked for, so that rounding can't lose one
ROUNDING = 1e-5  # of |x|^2 + |y|^2: beyond what float32 products are off by
PAIRS = 256  # pairs whose differences are taken at once: they stay in the cache


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
    radii = _nearest_others(reals, max(precision_k, coverage_k))[0]
    fake_radii = _nearest_others(fakes, precision_k)[0][:, -1]
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


def nearest_within(features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return squared distances to the nearest others, float64 [N, k], and which, int64 [N, k].

    features: [N, D]. Raises ValueError where there are fewer than k others.
    """
    return _nearest_others(_Points(features, features.mean(axis=0, dtype=np.float64)), k)


class _Points:
    """Features [N, D] as they are, and in float32 about a centre, where squares round less."""

    def __init__(self, values: np.ndarray, centre: np.ndarray) -> None:
        self.values = values
        self.centred = torch.from_numpy((values - centre).astype(np.float32))
        self.norms = self.centred.square().sum(1)

    def strips(self, start: int = 0) -> list[slice]:
        count = len(self.values)
        return [slice(s, min(s + STRIP, count)) for s in range(start, count, STRIP)]


def _squares(x: _Points, rows: slice, y: _Points, columns: slice) -> torch.Tensor:
    """Return float32 [rows, columns]; rounding may leave it a little off, or below 0."""
    products = torch.addmm(
        y.norms[columns][None], x.centred[rows], y.centred[columns].T, alpha=-2.0
    )
    return products.add_(x.norms[rows][:, None])


def _nearest_others(points: _Points, k: int) -> tuple[np.ndarray, np.ndarray]:
    """See nearest_within; half the distances are computed, since they are symmetric."""
    _check(points.values, k)
    asked = min(k + SPARE, len(points.values) - 1)
    best = torch.full((len(points.values), asked), torch.inf)
    rows = torch.zeros((len(points.values), asked), dtype=torch.int64)
    for first in points.strips():
        for second in points.strips(first.start):
            values = _squares(points, first, points, second)
            if first == second:
                values.fill_diagonal_(torch.inf)
            else:
                _merge(best, rows, second, values.T, first.start)
            _merge(best, rows, first, values, second.start)
    return _exactly(points.values, rows.numpy(), k)


def _merge(
    best: torch.Tensor, rows: torch.Tensor, where: slice, values: torch.Tensor, offset: int
) -> None:
    """Put a block's nearest among the best so far of the rows `where`."""
    asked = best.shape[1]
    near, columns = values.topk(min(asked, values.shape[1]), largest=False)
    both = torch.cat([best[where], near], dim=1)
    names = torch.cat([rows[where], columns + offset], dim=1)
    best[where], order = both.topk(asked, largest=False)
    rows[where] = names.gather(1, order)


def _exactly(features: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Order candidates [N, >= k] by their float64 distance and keep k."""
    left = np.repeat(np.arange(len(features)), rows.shape[1])
    squares = pair_squares(features, features, left, rows.ravel()).reshape(rows.shape)
    order = np.lexsort((rows, squares), axis=1)[:, :k]  # ties: the lower row first
    return np.take_along_axis(squares, order, 1), np.take_along_axis(rows, order, 1)


def pair_squares(x: np.ndarray, y: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return float64 |x[left] - y[right]|^2, [P], from the differences themselves."""
    squares = np.empty(len(left))
    for start in range(0, len(left), PAIRS):
        part = slice(start, start + PAIRS)
        difference = x[left[part]].astype(np.float64) - y[right[part]]
        squares[part] = np.einsum("pd,pd->p", difference, difference)
    return squares


class _Strip:
    """Squared distances of some rows of x to all of y."""

    def __init__(self, x: _Points, y: _Points, rows: slice) -> None:
        self.x, self.y, self.start = x, y, rows.start
        self.values = _squares(x, rows, y, slice(0, len(y.values))).numpy()
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


def _check(features: np.ndarray, k: int) -> None:
    if features.ndim != 2 or k < 1 or len(features) <= k:
        raise ValueError(
            f"Neighbour {k} needs features [N, D], N above {k}; found {features.shape}; take more "
            "images."
        )
