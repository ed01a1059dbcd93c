"""The one search for nearest rows, of every filter, figure and check.

float32 products choose a few rows more than asked for, float64 differences decide between them:
results are those of exact arithmetic (equal rows lie at exactly 0) at float32's cost.
"""

from dataclasses import dataclass

import numpy as np
import torch

CELLS = 2**22  # of the matrix of products that is in memory at once
SPARE = 8  # rows measured beyond those asked for, since float32 products round
PAIRS = 256  # pairs whose differences are taken at once: they stay in the cache


@dataclass(frozen=True)
class Neighbours:
    """Nearest rows, mostly two of N images: distances float64 [N, K] rising, indices [N, K]."""

    distances: np.ndarray
    indices: np.ndarray

    @property
    def nearest(self) -> np.ndarray:
        """Distance to the nearest row, float64 [N]."""
        return self.distances[:, 0]

    @property
    def ratio(self) -> np.ndarray:
        """Nearest over second nearest distance, float64 [N] in 0..1; 0 for an exact copy.

        Low where one row is far nearer than all others (Lowe's ratio, IJCV 2004): it does not
        depend on how dense that corner of the space is. 1 where there is no second row.
        """
        if self.distances.shape[1] < 2:
            return np.ones(len(self.distances))
        first, second = self.distances[:, :2].T
        usable = (second > 0) & np.isfinite(second)
        return np.divide(first, second, out=(first > 0).astype(np.float64), where=usable)


def nearest_rows(
    queries: np.ndarray, reference: np.ndarray, count: int, own: np.ndarray | None = None
) -> Neighbours:
    """Find the `count` nearest rows of reference [M, D] (all where M is less) for queries [N, D].

    own: int [N], a row that does not count for each query (itself), or -1. Equal distances stand in
    the order of their rows; a distance is infinite where no other row is left.
    """
    squares, indices = nearest_squares(queries, reference, count, own)
    return Neighbours(np.sqrt(squares), indices)


def nearest_squares(
    queries: np.ndarray, reference: np.ndarray, count: int, own: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Do what nearest_rows does with squared distances: float64 [N, K] and int64 [N, K]."""
    centre = reference.mean(axis=0, dtype=np.float64)  # about it, float32 squares round less
    values = torch.from_numpy((reference - centre).astype(np.float32))
    norms = values.square().sum(1)
    count = min(count, len(reference))
    squares, indices = np.empty((len(queries), count)), np.empty((len(queries), count), np.int64)
    step = max(1, CELLS // len(reference))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        asked = torch.from_numpy((queries[rows] - centre).astype(np.float32))
        rough = torch.addmm(norms[None], asked, values.T, alpha=-2.0)  # |q|^2 changes no order
        banned = None if own is None else own[rows]
        squares[rows], indices[rows] = _measured(queries[rows], reference, rough, count, banned)
    return squares, indices


def _measured(
    queries: np.ndarray,
    reference: np.ndarray,
    rough: torch.Tensor,
    count: int,
    own: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact squares of the rows that are nearest by `rough` [n, M], and the rows."""
    if own is not None:
        lines = np.flatnonzero(own >= 0)
        rough[lines, own[lines]] = torch.inf
    kept = rough.topk(min(count + SPARE, len(reference)), largest=False).indices.numpy()
    left = np.repeat(np.arange(len(queries)), kept.shape[1])
    squares = pair_squares(queries, reference, left, kept.ravel()).reshape(kept.shape)
    if own is not None:
        squares[kept == own[:, None]] = np.inf
    order = np.lexsort((kept, squares), axis=1)[:, :count]
    return np.take_along_axis(squares, order, 1), np.take_along_axis(kept, order, 1)


def pair_squares(x: np.ndarray, y: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return float64 |x[left] - y[right]|^2, [P], from the differences themselves."""
    squares = np.empty(len(left))
    for start in range(0, len(left), PAIRS):
        part = slice(start, start + PAIRS)
        difference = x[left[part]].astype(np.float64) - y[right[part]]
        squares[part] = np.einsum("pd,pd->p", difference, difference)
    return squares
