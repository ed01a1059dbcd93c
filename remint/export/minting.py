"""Labelled images minted until every class has as many as it should, each with its own seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from remint.core.device import DeviceName
from remint.core.ranges import Megabytes, Seed
from remint.export.filtering import Sieve, seed_of
from remint.export.filters import Candidate, FilterConfig
from remint.export.marking import SigningConfig
from remint.export.reals import RealsConfig

BATCH = 256
FEWEST_ATTEMPTS = 32  # a class, however few images it wants
Format = Literal["set", "imagefolder", "webdataset"]


@dataclass(frozen=True)
class ExportConfig:
    """The export_synthetic section.

    per_class: images minted for every class; balance: in addition so many that, added to the real
    training images, all classes come to the same number. attempts: images minted at most for one
    that is wanted. reals: how real images are asked; None: not at all. shard_megabytes: of Parquet
    and tar files.
    """

    seed: Seed
    device: DeviceName
    per_class: Annotated[int, Ge(0), Le(10**8)]
    balance: bool
    attempts: Annotated[float, Ge(1), Le(10**6)]
    formats: tuple[Format, ...]
    filters: FilterConfig
    reals: RealsConfig | None
    shard_megabytes: Megabytes
    c2pa: SigningConfig

    def __post_init__(self) -> None:
        if self.per_class == 0 and not self.balance:
            raise ValueError("per_class: found 0, needed 1 or more, or balance: true")
        if not self.formats or len(set(self.formats)) < len(self.formats):
            raise ValueError(f"formats: found {list(self.formats)}, needed each at most once, one")


def wanted(config: ExportConfig, classes: int, counts: np.ndarray | None) -> np.ndarray:
    """Return how many images of each class to mint, int64 [K].

    counts: int64 [K], the real training images a class. Raises ValueError to balance without them,
    and where nothing is wanted.
    """
    want = np.full(classes, config.per_class, np.int64)
    if config.balance:
        if counts is None:
            raise ValueError("balance needs the real set, to know what its classes lack; give it")
        want += counts.max() - counts
    if not want.any():
        raise ValueError("the real classes are balanced already; set per_class above 0")
    return want


def minted(sieve: Sieve, config: ExportConfig, want: np.ndarray) -> Iterator[Candidate]:
    """Yield every image that is minted, kept or not, until each class has what it wants.

    want: int64 [K]. Classes take turns. Attempt n at a class has the seed `seed_of(config.seed,
    "export", class, n)`. Ends with fewer where a class used up its attempts.
    """
    kept = np.zeros(len(want), np.int64)
    tried = np.zeros(len(want), np.int64)
    most = np.where(want, np.maximum(np.ceil(want * config.attempts), FEWEST_ATTEMPTS), 0)
    while (labels := _turn(want - kept, most - tried)).size:
        seeds = []
        for label in labels:
            seeds.append(seed_of(config.seed, "export", int(label), int(tried[label])))
            tried[label] += 1
        for candidate in sieve.judged(labels, np.array(seeds, np.int64)):
            kept[candidate.label] += candidate.rejection is None
            yield candidate


def _turn(missing: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Return the labels of the next batch, int64 [N]: one of each class in turn."""
    room = np.minimum(missing, left).astype(np.int64)
    labels: list[int] = []
    while room.any() and len(labels) < BATCH:
        open_classes = np.flatnonzero(room)[: BATCH - len(labels)]
        labels += open_classes.tolist()
        room[open_classes] -= 1
    return np.array(labels, np.int64)
