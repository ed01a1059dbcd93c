"""Labelled images minted until every class has as many as it should, each with its own seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from annotated_types import Ge, Le

from remint.core.device import DeviceName
from remint.core.randomness import philox_key
from remint.core.ranges import Megabytes, Seed
from remint.export.card import PapersConfig
from remint.export.filtering import Filter, filtered
from remint.export.filters import Candidate, FilterConfig, MintedBatch
from remint.export.marking import SigningConfig
from remint.export.reals import RealsConfig

BATCH = 256
FEWEST_ATTEMPTS = 32  # a class, however few images it wants
PILOT = 128  # images a class, minted to learn what the discriminator usually says
SEED_BITS = 53  # the whole numbers that every JSON reader keeps whole
Format = Literal["set", "imagefolder", "webdataset"]


class Model(Protocol):
    """What is needed of a generator; `remint.generator.generator.Minter` is one."""

    channels: int
    size: int
    class_names: list[str]
    classes: int
    card: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Hash of the weights."""
        ...

    def mint(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Return uint8 [N, S, S, C], image k by labels[k] and seeds[k] alone, up to rounding."""
        ...

    def logits(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        """Return the discriminator's logits float32 [N], None where there is none."""
        ...


@dataclass(frozen=True)
class ExportConfig:
    """The export_synthetic section.

    classes: names of those that are minted; none: all. per_class: images minted for each of them.
    balance: instead so many that real training images and minted ones together come to the same
    number in each of them: that of the largest, or `per_class` where that is more. attempts: images
    minted at most for one that is wanted. reals: how real images are asked; None: not at all.
    shard_megabytes: of Parquet and tar files; papers: what its card and Croissant file cannot know.
    """

    seed: Seed
    device: DeviceName
    classes: tuple[str, ...]
    per_class: Annotated[int, Ge(0), Le(10**8)]
    balance: bool
    attempts: Annotated[float, Ge(1), Le(10**6)]
    formats: tuple[Format, ...]
    filters: FilterConfig
    reals: RealsConfig | None
    shard_megabytes: Megabytes
    c2pa: SigningConfig
    papers: PapersConfig

    def __post_init__(self) -> None:
        if self.per_class == 0 and not self.balance:
            raise ValueError("per_class: found 0, needed 1 or more, or balance: true")
        if not self.formats or len(set(self.formats)) < len(self.formats):
            raise ValueError(f"formats: found {list(self.formats)}, needed each at most once, one")


def wanted(
    config: ExportConfig, class_names: Sequence[str], counts: np.ndarray | None
) -> np.ndarray:
    """Return how many images of each class to mint, int64 [K].

    class_names: of the generator, none for a set without labels; counts: int64 [K], the real
    training images a class. Raises ValueError for a class that the generator does not know, to
    balance without counts, and where nothing is wanted.
    """
    unknown = [name for name in config.classes if name not in class_names]
    if unknown:
        known = ", ".join(class_names) or "none, it was trained without labels"
        raise ValueError(f"classes: found {unknown[0]}, needed some of the generator's: {known}")
    asked = np.array([not config.classes or name in config.classes for name in class_names or [""]])
    want = np.full(len(asked), config.per_class, np.int64)
    if config.balance:
        if counts is None:
            raise ValueError("balance needs the real set, to know what its classes lack; give it")
        level = max(int(counts.max()), config.per_class)
        want = level - counts
    want = np.where(asked, want, 0)
    if not want.any():
        whose = "the real classes are balanced already"
        if config.classes:
            whose = (
                f"no class that was asked for has fewer real images than the largest ({level:,})"
            )
        raise ValueError(f"{whose}; set per_class to more than theirs")
    return want


def minted(
    model: Model, filters: Sequence[Filter], config: ExportConfig, want: np.ndarray
) -> Iterator[Candidate]:
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
        for candidate in filtered(mint_batch(model, labels, seeds), filters):
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


def mint_batch(model: Model, labels: np.ndarray, seeds: Sequence[int]) -> MintedBatch:
    """Mint for int64 [N] and N seeds."""
    numbers = np.array(seeds, np.int64)
    return MintedBatch(model.mint(labels, numbers), labels, numbers)


def discriminator_limits(model: Model, share: float | None, seed: int) -> np.ndarray | None:
    """Return float32 [K], for each class the score that `share` of its images fall below.

    A discriminator's scores have no zero and differ by class, so a pilot of 128 images a class says
    what is low. None where the filter is off or the model has no discriminator.
    """
    if not share:
        return None
    limits = []
    for label in range(model.classes):
        seeds = [seed_of(seed, "pilot", label, k) for k in range(PILOT)]
        pilot = mint_batch(model, np.full(PILOT, label, np.int64), seeds)
        scores = model.logits(pilot.images, pilot.labels)
        if scores is None:
            return None
        limits.append(np.quantile(scores, share))
    return np.array(limits, np.float32)


def seed_of(seed: int, purpose: str, label: int, attempt: int) -> int:
    """Return the seed of an attempt at an image of a class, 0 to 2^53 - 1."""
    return philox_key(seed, purpose, str(label), attempt) >> (128 - SEED_BITS)
