"""The filters of an export by name and limit, and what is known of an image that went through."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from remint.core.ranges import Share, Weight

FILTERS = (
    "validity",
    "exact_duplicate",
    "near_duplicate",
    "training_copy",
    "confidence",
    "discriminator",
)


class Mint(Protocol):
    """What is needed of a generator; `remint.generator.generator.Minter` is one."""

    channels: int
    size: int
    class_names: list[str]
    classes: int

    @property
    def fingerprint(self) -> str:
        """Hash of the weights."""
        ...

    def mint(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Return uint8 [N, S, S, C], image k by labels[k] and seeds[k] alone."""
        ...

    def logits(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        """Return the discriminator's logits float32 [N], None where there is none."""
        ...


@dataclass(frozen=True)
class FilterConfig:
    """The limits, in the order in which they are tried; null switches a filter off.

    least_deviation: standard deviation of the pixels in levels, below it an image is blank.
    exact_duplicates: drop images equal to a real one (of any split) or to one kept before.
    near_duplicate, training_copy: least distance to the kept images of the class, and to any
    training image, as a part of the usual distance between neighbours among the training images.
    confidence: least probability of the own class. discriminator: of each class the share that the
    discriminator likes least, 0..1.
    """

    least_deviation: Weight | None
    exact_duplicates: bool
    near_duplicate: Weight | None
    training_copy: Weight | None
    confidence: Share | None
    discriminator: Share | None


@dataclass(frozen=True)
class Rejection:
    """filter: its name; value: the image's; limit: what it fell short of."""

    filter: str
    value: float
    limit: float


@dataclass(frozen=True)
class Candidate:
    """A minted image, all that is known of it, and why it was turned down (None: kept).

    image: uint8 SSC. deviation: of its pixels, levels. nearest_distance: to the nearest training
    image, levels of small pixels; nearest_ratio: the same as a part of the class's usual spacing.
    None: there was no real set, no classifier or no discriminator to ask.
    """

    image: np.ndarray
    label: int
    seed: int
    id: str
    deviation: float
    nearest_distance: float | None
    nearest_ratio: float | None
    nearest_id: str | None
    confidence: float | None
    discriminator_score: float | None
    rejection: Rejection | None
