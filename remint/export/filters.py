"""The filters of an export by name, order and limit, and what passes through them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Le

from remint.core.ranges import Share, Weight

# name -> what it rejects, in the order in which filters are tried: cheap ones first, and last the
# one that remembers what it lets through
FILTERS = {
    "validity": "blank images",
    "exact_duplicate": "exact duplicates of real images, or of images minted before",
    "confidence": "images that a classifier finds unlike their class",
    "discriminator": "images that the discriminator likes least",
    "training_copy": "suspected copies: nearer to one training image than real images lie",
    "near_duplicate": "near-duplicates of images of the class exported before",
}
# name -> the key of its limit in `export_synthetic.filters`
SETTINGS = {
    "validity": "least_deviation",
    "exact_duplicate": "exact_duplicates",
    **{name: name for name in ("confidence", "discriminator", "training_copy", "near_duplicate")},
}
# of real images that may be taken for copies: 0.005 is usual
AlarmShare = Annotated[float, Gt(0), Le(0.2)]


@dataclass(frozen=True)
class FilterConfig:
    """The limits; null (false) switches a filter off.

    least_deviation: standard deviation of the pixels in levels, below it an image is blank.
    exact_duplicates: reject images equal to a real one (of any split) or to one minted before.
    confidence: least probability of the own class. discriminator: of each class the share that the
    discriminator likes least, 0..1. training_copy: share of real images that would be suspected as
    copies of another training image; minted ones that near are rejected. near_duplicate: share of
    the class's real images that lie nearer to another in small pixels than exported ones may.
    """

    least_deviation: Weight | None
    exact_duplicates: bool
    confidence: Share | None
    discriminator: Share | None
    training_copy: AlarmShare | None
    near_duplicate: AlarmShare | None


@dataclass(frozen=True)
class MintedBatch:
    """Minted images on their way through the filters: uint8 [N, S, S, C], int64 [N], int64 [N]."""

    images: np.ndarray
    labels: np.ndarray
    seeds: np.ndarray

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def take(self, rows: np.ndarray) -> "MintedBatch":
        """Return some of the images."""
        return MintedBatch(self.images[rows], self.labels[rows], self.seeds[rows])


@dataclass(frozen=True)
class Finding:
    """What a filter says of a batch.

    values: float64 [N], too low is rejected; limits: float64 [N]; scores: columns of the candidates
    (a value an image each) that are known from here on.
    """

    values: np.ndarray
    limits: np.ndarray
    scores: dict[str, Sequence[Any]]


@dataclass(frozen=True)
class Rejection:
    """filter: its name; value: the image's; limit: what it fell short of."""

    filter: str
    value: float
    limit: float


@dataclass(frozen=True)
class Candidate:
    """A minted image, all that is known of it, and why it was rejected (None: kept).

    image: uint8 SSC. nearest_distance: to the nearest training image, levels of small pixels;
    nearest_ratio: the same over the distance to the second nearest. soft_label: the classifier's
    probability of every class. None: nobody said, or an earlier filter had rejected the image.
    """

    image: np.ndarray
    label: int
    seed: int
    id: str
    rejection: Rejection | None = None
    confidence: float | None = None
    discriminator_score: float | None = None
    nearest_distance: float | None = None
    nearest_ratio: float | None = None
    nearest_id: str | None = None
    soft_label: list[float] | None = None
