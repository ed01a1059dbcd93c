"""How near images are to one another, as a copy hunter needs it: small pixels, tried shifted too.

Images are averaged down to `side` x `side` pixels, which forgives noise and compression; a shift of
some original pixels is forgiven by trying each. Distances are root mean squares in levels 0..255.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Le

from remint.metrics.nearest import moved

SHORTLIST = 32  # nearest unshifted images among which shifts are tried
BATCH = 256  # queries at once, fewer where the matrix of distances would pass CELLS
CELLS = 2**22


@dataclass(frozen=True)
class SmallPixels:
    """The space: side in small pixels, shift in original pixels tried in each direction."""

    side: Annotated[int, Ge(2), Le(256)]
    shift: Annotated[int, Ge(0), Le(16)]

    def of(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 [N, side * side * C] for uint8 [N, H, W, C]."""
        planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1))).float()
        small = F.adaptive_avg_pool2d(planes, self.side).round_().to(torch.uint8)
        return small.reshape(len(images), -1).numpy()

    def variants(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 [V, N, D]: the images unshifted first, then by every shift."""
        return np.stack([self.of(images), *(self.of(moved) for moved in self._shifted(images))])

    def _shifted(self, images: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the images moved by every shift but none, edges prolonged."""
        shifts = range(-self.shift, self.shift + 1)
        for down, right in product(shifts, shifts):
            if (down, right) != (0, 0):
                yield moved(images, down, right)


def nearest(
    variants: np.ndarray, reference: np.ndarray, own: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return each query's distance to its nearest reference row, and that row's number.

    variants: uint8 [V, N, D] of the queries; reference: uint8 [M, D]; own: int64 [N], a row that
    does not count for the query (itself). float32 [N] in levels and int64 [N]; infinity and -1
    where there is no other row. Shifts are tried on the 32 nearest unshifted rows.
    """
    count, rows = variants.shape[1], len(reference)
    if rows - (own is not None) < 1:
        return np.full(count, np.inf, np.float32), np.full(count, -1, np.int64)
    values = torch.from_numpy(reference).float()
    norms = values.square().sum(1)
    step = min(BATCH, max(1, CELLS // rows))
    parts = [
        _nearest(variants[:, at : at + step], values, norms, None if own is None else own[at:])
        for at in range(0, count, step)
    ]
    distances, places = zip(*parts, strict=True) if parts else ((), ())
    return np.concatenate([np.zeros(0, np.float32), *distances]), np.concatenate(
        [np.zeros(0, np.int64), *places]
    )


def _nearest(
    variants: np.ndarray, values: torch.Tensor, norms: torch.Tensor, own: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    queries = torch.from_numpy(variants).float()  # [V, n, D]
    plain = queries[0]
    squared = norms - 2.0 * (plain @ values.T)  # |q|^2 is left out: it changes no order
    if own is not None:
        lines = torch.arange(len(plain))
        squared[lines, torch.from_numpy(own[: len(plain)])] = torch.inf
    others = len(values) - (own is not None)
    short = squared.topk(min(SHORTLIST, others), largest=False).indices  # [n, k]
    products = torch.bmm(values[short], queries.permute(1, 2, 0))  # [n, k, V]
    own_norms = queries.square().sum(2).T[:, None]  # [n, 1, V]
    best = (norms[short][:, :, None] + own_norms - 2.0 * products).amin(2).min(1)
    places = short.gather(1, best.indices[:, None])[:, 0]
    # whole numbers below 2^24 for grey: float32 holds the sums of squares exactly
    distances = (best.values.clamp(min=0.0) / values.shape[1]).sqrt()
    return distances.numpy(), places.numpy()


def between(variants: np.ndarray) -> np.ndarray:
    """Return the distances within a batch, float32 [N, N], for its uint8 [V, N, D]."""
    queries = torch.from_numpy(variants).float()
    norms = queries.square().sum(2)  # [V, N]
    squared = norms[:, :, None] + norms[0] - 2.0 * (queries @ queries[0].T)
    return (squared.amin(0) / queries.shape[2]).clamp_(min=0.0).sqrt_().numpy()


class Grown:
    """Rows of small pixels that are added bit by bit: uint8 [M, D], doubled when full."""

    def __init__(self) -> None:
        self._rows = np.zeros((0, 0), np.uint8)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> np.ndarray:
        """uint8 [M, D], a view."""
        return self._rows[: self._count]

    def add(self, row: np.ndarray) -> None:
        """Take one uint8 [D] row along."""
        if self._count == len(self._rows):
            grown = np.zeros((max(64, 2 * self._count), len(row)), np.uint8)
            if self._count:
                grown[: self._count] = self.rows
            self._rows = grown
        self._rows[self._count] = row
        self._count += 1
