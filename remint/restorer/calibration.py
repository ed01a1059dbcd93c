"""Choosing lambda of the map of doubt on held-out pairs, and the sentence where there are too few.

L_i(lambda) is the share of the most doubtful quarter of picture i that the map misses, averaged
over all its damaged versions and tiles: pictures are exchangeable with a new one, pixels and pairs
are not.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from remint.core.arrays import to_tensor, to_uint8
from remint.core.randomness import generator
from remint.images.fitting import picture_of
from remint.images.imageset import ImageSet
from remint.metrics.conformal import controlled, least_cases
from remint.restorer.data import NoiseConfig
from remint.restorer.doubt import QUARTER, Doubt, errors_of, most_doubtful
from remint.restorer.restorer import Restorer
from remint.restorer.tiling import restore_image

FACTORS = np.geomspace(1e-2, 1e4, 2**11)  # the lambdas tried, 0.7 % apart
PAIRS = 4000  # at most, spread evenly over the val split
TILE = 512  # px


class HeldOutPair(NamedTuple):
    """picture: whose damaged version or tile it is; images uint8 HWC."""

    picture: str
    damaged: np.ndarray
    clean: np.ndarray


class HeldOutPairs:
    """The val pairs of the sets, damaged as training damages.

    noise: as in DataConfig; where it is all that training sees, clean val images get it here,
    rounded and clipped as a file of 8 bits holds them.
    """

    def __init__(
        self, clean: ImageSet, corrupted: ImageSet, noise: NoiseConfig | None, seed: int
    ) -> None:
        self.clean, self.corrupted, self.seed = clean, corrupted, seed
        self.noise = noise if noise is not None and noise.alone else None
        frame = (clean if self.noise else corrupted).frame("val")
        step = np.linspace(0, len(frame) - 1, min(PAIRS, len(frame))).astype(int)
        self.rows: list[dict[str, Any]] = frame.iloc[step].to_dict("records")  # type: ignore[assignment]
        origins = clean.frame("val")[["id", "position", "source"]].to_dict("records")
        self.clean_rows = {str(row["id"]): row for row in origins}

    @property
    def pictures(self) -> int:
        """How many pictures they are of."""
        return len({picture_of(self._clean_row(row)["source"]) for row in self.rows})

    def _clean_row(self, row: dict[str, Any]) -> dict[Any, Any]:
        return self.clean_rows[row.get("clean_id", row["id"])]

    def __iter__(self) -> Iterator[HeldOutPair]:
        for row in self.rows:
            origin = self._clean_row(row)
            target = self.clean.at(origin["position"])[1]
            damaged = self._noisy(target, row["id"])
            yield HeldOutPair(
                picture_of(origin["source"]),
                self.corrupted.at(row["position"])[1] if damaged is None else damaged,
                target,
            )

    def _noisy(self, image: np.ndarray, name: str) -> np.ndarray | None:
        if self.noise is None:
            return None
        stream = generator(self.seed, "calibration", name)
        noise = stream.standard_normal(image.shape, np.float32)
        sigma = stream.uniform(*self.noise.sigma)
        planes = torch.from_numpy(np.moveaxis(noise, -1, -3)) * (sigma / 127.5)
        return to_uint8(to_tensor(image) + planes)


def too_few(pairs: HeldOutPairs, alpha: float) -> str | None:
    """Return why no map can be promised on these pairs; None where one can."""
    found, needed = pairs.pictures, least_cases(alpha)
    if found >= needed:
        return None
    return (
        f"the val split has pairs of {found} pictures, and a promise for {1 - alpha:.0%} needs "
        f"{needed} or more"
    )


def calibrate(
    doubt: Doubt, restorer: Restorer, pairs: HeldOutPairs, alpha: float
) -> dict[str, Any]:
    """Set the head's lambda; return what the card says of it, or of why there is none.

    alpha: the largest share of the most doubtful quarter that may be missed on average.
    """
    refused = too_few(pairs, alpha)
    if refused:
        return {"refused": refused}
    losses = missed_shares(doubt, restorer, pairs)
    bound = controlled(losses, alpha)
    if bound is None:
        return {"refused": f"no width misses as little as {alpha:.0%} of the val pairs' pixels"}
    doubt.head.factor.fill_(FACTORS[bound])
    facts = {"alpha": alpha, "of_pixels": QUARTER, "factor": float(doubt.head.factor)}
    return {**facts, "pictures": len(losses), "pairs": len(pairs.rows)}


def missed_shares(doubt: Doubt, restorer: Restorer, pairs: HeldOutPairs) -> np.ndarray:
    """Return L_i(lambda), float64 [pictures, FACTORS]."""
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(FACTORS)))
    counts: Counter[str] = Counter()
    for picture, damaged, clean in pairs:
        restored = restore_image(restorer, damaged, TILE, restorer.overlap(TILE, None))
        scales = doubt.scales(damaged, restored)
        sums[picture] += missed_share(scales, errors_of(restored, clean))
        counts[picture] += 1
    return np.stack([total / counts[picture] for picture, total in sums.items()])


def missed_share(scales: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the share of the most doubtful pixels beyond their bound, float64 [FACTORS].

    An error of e levels lies within floor(lambda u + 1/2) just where lambda >= (e - 1/2) / u, or
    where the map's end, 255, is reached.
    """
    kept = most_doubtful(scales)
    needed = np.sort(np.maximum(errors[kept] - 0.5, 0.0) / scales[kept])
    return 1 - np.searchsorted(needed, FACTORS, side="right") / needed.size
