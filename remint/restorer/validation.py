"""A fixed look at held-out pairs during training: one figure and one picture."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from remint.core.arrays import to_tensor, to_uint8
from remint.core.randomness import generator
from remint.images.imageset import ImageSet
from remint.metrics.pixels import psnr_ceiling, psnr_score
from remint.restorer.data import NoiseConfig
from remint.restorer.networks.plain_unet import PlainBlock
from remint.restorer.restorer import Restorer
from remint.restorer.tiling import Shape, of_one_shape

SIDE = 128  # px; larger images are looked at through their centre
SHOWN = 8
BATCH = 16  # pairs restored at once
Pair = tuple[torch.Tensor, torch.Tensor]  # damaged and target, C,H,W


class Validation:
    """Up to `count` val pairs, spread evenly over the set; empty where the set has no val split.

    noise: as in DataConfig; where it is all that training sees, clean val images get it here, its
    sigmas evenly spaced over the pairs.
    """

    def __init__(
        self, clean: ImageSet, corrupted: ImageSet, count: int, noise: NoiseConfig | None, seed: int
    ) -> None:
        plain = noise is not None and noise.alone
        rows = (clean if plain else corrupted).frame("val")
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))
        self.pairs: list[Pair] = []
        self.ceilings: list[float] = []
        where = clean.frame("val").set_index("id")["position"]
        low, high = noise.sigma if noise else (0.0, 0.0)
        sigmas = np.linspace(low, high, len(chosen))
        for sigma, row in zip(sigmas, rows.iloc[chosen].to_dict("records"), strict=True):
            target = clean.at(int(where[row.get("clean_id", row["id"])]))[1]
            damaged = target if plain else corrupted.at(row["position"])[1]
            pair = to_tensor(_centre(damaged)), to_tensor(_centre(target))
            if plain:
                drawn = generator(seed, "validation", row["id"]).standard_normal(pair[0].shape)
                pair = (pair[0] + torch.from_numpy(drawn).float() * sigma / 127.5, pair[1])
            self.pairs.append(pair)
            self.ceilings.append(psnr_ceiling(row.get("kind", "")))

    def psnr(self, restorer: Restorer) -> dict[str, float]:
        """Return the mean of per-image PSNR in dB of restored and of damaged images.

        As in the evaluation: of 8-bit images, up to the same ceilings. Beside them, if it is not 0,
        silent_share: of hidden units that answered to none of the pairs.
        """
        if not self.pairs:
            return {}
        with counted_units(restorer.network) as silent:
            restored = list(_restored(self.pairs, restorer))
        figures = {"val_psnr": self._mean(restored), "val_psnr_input": self._mean(self.pairs)}
        return {**figures, **({"silent_share": share} if (share := silent()) else {})}

    def _mean(self, pairs: list[Pair]) -> float:
        scores = [psnr_score(to_uint8(image), to_uint8(target)) for image, target in pairs]
        return float(np.minimum(scores, self.ceilings).mean())

    def grid(self, restorer: Restorer) -> np.ndarray | None:
        """Return uint8 HWC: a row a pair, damaged, restored, target; None without pairs."""
        if not self.pairs:
            return None
        size = [max(d.shape[axis] for d, _ in self.pairs[:SHOWN]) for axis in (1, 2)]
        rows = []
        shown = self.pairs[:SHOWN]
        for (damaged, _), answer in zip(shown, _restored(shown, restorer), strict=True):
            rows.append(torch.cat([_padded(image, size) for image in (damaged, *answer)], dim=2))
        return to_uint8(torch.cat(rows, dim=1))


@contextmanager
def counted_units(network: nn.Module) -> Iterator[Callable[[], float]]:
    """Watch which hidden units of plain blocks are above 0 anywhere while the network is used.

    Yields what returns the share of those that were not; 0 where there are no such blocks. At high
    rates units drift to where all pictures leave them below 0, and take no part from then on.
    """
    answered: dict[nn.Module, torch.Tensor] = {}

    def watch(layer: nn.Module, _: object, before: torch.Tensor) -> None:
        above = (before > 0).any(dim=0).flatten(1).any(dim=1)
        answered[layer] = above | answered.get(layer, above)

    blocks = [block for block in network.modules() if isinstance(block, PlainBlock)]
    hooks = [block.first.register_forward_hook(watch) for block in blocks]
    try:
        yield lambda: float((~torch.cat([*answered.values()])).float().mean()) if answered else 0.0
    finally:
        for hook in hooks:
            hook.remove()


def _restored(pairs: Sequence[Pair], restorer: Restorer) -> Iterator[Pair]:
    """Yield each pair with its damaged half restored; neighbours of one size share a batch."""
    for batch in of_one_shape(pairs, BATCH, BATCH * SIDE**2, _shape):
        restored = restorer(torch.stack([damaged for damaged, _ in batch]))
        yield from zip(restored, (target for _, target in batch), strict=True)


def _shape(pair: Pair) -> Shape:
    channels, height, width = pair[0].shape
    return height, width, channels


def _centre(image: np.ndarray) -> np.ndarray:
    top, left = (max(0, (length - SIDE) // 2) for length in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]


def _padded(image: torch.Tensor, size: list[int]) -> torch.Tensor:
    missing = (0, size[1] - image.shape[2] + 2, 0, size[0] - image.shape[1] + 2)
    return F.pad(image, missing, value=1.0)
