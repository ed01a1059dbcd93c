"""What real images have to say about minted ones: are they copies, and are they of their class?

The classifier here is trained for the export alone; the one that says whether minted images help is
another, with another seed, so that no image is kept for pleasing the one that grades it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from annotated_types import Ge, Le, Lt
from more_itertools import chunked

from remint.classifier.kept import kept_classifier
from remint.classifier.teacher import TeacherConfig, train_teacher
from remint.classifier.train import Classifier
from remint.core.randomness import philox_key
from remint.images.imageset import ImageSet
from remint.images.labelled import Labelled, read
from remint.metrics.spaces import PixelSpace, Space
from remint.metrics.suspects import Alarm, Lookup, calibrate, look_among_training, pixel_spaces

BATCH = 256
SAMPLED = 200  # training images a class whose distances to others set the limits
FEWEST = 20  # images of a class, below which those of all classes set its limit


@dataclass(frozen=True)
class RealsConfig:
    """shift: share of the side under which a copy is recognised; classifier: of the confidence
    filter, trained on at most `classifier_images` of the training split (chosen by hash)."""

    shift: Annotated[float, Ge(0), Lt(0.5)]
    classifier: TeacherConfig
    classifier_images: Annotated[int, Ge(2), Le(10**8)]


@dataclass(frozen=True)
class RealSide:
    """The real images that an export asks.

    fingerprint: of the set. ids: of all splits. train: the training images, label 0 in a set of one
    class. classes: their number. lookup: the nearest others of the training images `members`.
    classifier: None for a set of one class; accuracy: its share right on val, None without one.
    """

    fingerprint: str
    ids: frozenset[str]
    train: Labelled
    classes: int
    spaces: list[Space]
    members: np.ndarray
    lookup: Lookup
    classifier: Classifier | None
    accuracy: float | None

    @property
    def counts(self) -> np.ndarray:
        """Training images a class, int64 [K]."""
        return np.bincount(self.train.labels[self.train.labels >= 0], minlength=self.classes)

    @property
    def pixels(self) -> PixelSpace:
        """The space of small pixels."""
        return next(space for space in self.spaces if isinstance(space, PixelSpace))

    def alarm(self, share: float) -> Alarm:
        """Return the rules by which that share of training images is suspected."""
        return calibrate(self.lookup, share)

    def class_distances(self, share: float) -> np.ndarray:
        """Return float64 [K]: within it that share of a class's images has another real one."""
        nearest = self.lookup.by_space["pixels"].nearest
        distances = np.where(np.isfinite(nearest), nearest, 0.0)  # of an only image
        labels = self.train.labels[self.members]
        own = [distances[labels == label] for label in range(self.classes)]
        few = [distances if len(d) < FEWEST else d for d in own]
        return np.array([np.quantile(d, share, method="lower") for d in few])


def read_reals(
    clean: ImageSet,
    shape: tuple[int, int, int],
    classes: int,
    config: RealsConfig,
    seed: int,
    device: str,
    kept: Path | None = None,
) -> RealSide:
    """Read the clean set and train the classifier; the test split is looked at by its ids alone.

    shape: height, width and channels that the generator makes. kept: folder of this export, where
    the classifier is kept. Raises ValueError where the set has no training images, or images of
    another shape.
    """
    frame = clean.frame()
    _check(clean, frame[frame["split"] == "train"], shape)
    train = _with_one_class(read(clean, "train")) if classes == 1 else read(clean, "train")
    spaces = pixel_spaces(train.images, config.shift)
    members = _sampled(train, classes)
    classifier = _classifier(train, classes, config, seed, device, kept)
    return RealSide(
        fingerprint=clean.fingerprint,
        ids=frozenset(frame["id"]),
        train=train,
        classes=classes,
        spaces=spaces,
        members=members,
        lookup=look_among_training(spaces, members),
        classifier=classifier,
        accuracy=_accuracy(classifier, clean, frame),
    )


def _check(clean: ImageSet, train: pd.DataFrame, shape: tuple[int, int, int]) -> None:
    if train.empty:
        raise ValueError(f"{clean.path} has no training images; raise ingest.shares.train")
    shapes = train[["height", "width", "channels"]].drop_duplicates().itertuples(index=False)
    wrong = [tuple(map(int, other)) for other in shapes if tuple(other) != shape]
    if wrong:
        raise ValueError(
            f"{clean.path} holds images of height, width and channels {wrong[0]}, the generator "
            f"makes {shape}; give the set that it was trained on"
        )


def _with_one_class(images: Labelled) -> Labelled:
    return Labelled(images.images, np.zeros_like(images.labels), images.ids)


def _sampled(train: Labelled, classes: int) -> np.ndarray:
    """Return int64 rows of up to 200 images of each class, chosen by hash."""
    order = _by_hash(train, "spacing", 0)
    return np.concatenate([order[train.labels[order] == k][:SAMPLED] for k in range(classes)])


def _classifier(
    train: Labelled,
    classes: int,
    config: RealsConfig,
    seed: int,
    device: str,
    kept: Path | None,
) -> Classifier | None:
    if classes < 2:
        return None
    order = _by_hash(train, "export-classifier", seed)
    chosen = train.take(np.sort(order[train.labels[order] >= 0][: config.classifier_images]))
    given = chosen.images, chosen.labels, classes, config.classifier, seed, device
    return kept_classifier(kept, lambda: train_teacher(*given).classifier, device)


def _accuracy(classifier: Classifier | None, clean: ImageSet, frame: pd.DataFrame) -> float | None:
    labelled = frame[(frame["split"] == "val") & frame["label"].notna()]
    if classifier is None or labelled.empty:
        return None
    right = 0
    for positions in chunked(labelled["position"], BATCH):
        rows, images = zip(*(clean.at(position) for position in positions), strict=True)
        named = classifier.probabilities(np.stack(images)).argmax(axis=1)
        right += int((named == [row["label"] for row in rows]).sum())
    return right / len(labelled)


def _by_hash(train: Labelled, stage: str, seed: int) -> np.ndarray:
    keys = [philox_key(seed, stage, name) for name in train.ids]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
