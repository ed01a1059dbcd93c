"""What the real images have to say about minted ones: are they copies, and are they of their class?

The classifier here is trained for the export alone; the one that judges whether minted images help
is another, with another seed, so that no image is kept for pleasing its own judge.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from annotated_types import Ge, Le

from remint.classifier.train import Classifier, ClassifierConfig, train_classifier
from remint.core.randomness import philox_key
from remint.export.nearness import SmallPixels, nearest
from remint.images.imageset import ImageSet

BATCH = 256
SAMPLED = 200  # training images a class whose distance to the next one sets the scale
FEWEST = 5  # images of a class, below which the scale of all classes serves


@dataclass(frozen=True)
class RealsConfig:
    """space: where distances are taken; classifier: of the confidence filter, trained on at most
    `classifier_images` of the training split (chosen by hash)."""

    space: SmallPixels
    classifier: ClassifierConfig
    classifier_images: Annotated[int, Ge(2), Le(10**8)]


@dataclass(frozen=True)
class Reals:
    """The real side of an export.

    fingerprint: of the set. counts: int64 [K], training images a class. ids: of all splits.
    small: uint8 [M, D] of the training images named by small_ids. spacing: float32 [K] levels, the
    median distance from a training image of the class to its nearest other one. classifier: None
    for a set of one class; accuracy: its share right on the val split, None without one.
    """

    fingerprint: str
    counts: np.ndarray
    ids: frozenset[str]
    space: SmallPixels
    small: np.ndarray
    small_ids: list[str]
    spacing: np.ndarray
    classifier: Classifier | None
    accuracy: float | None

    def nearest(self, variants: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Return the distances float32 [N] to the nearest training images, and their ids."""
        distances, places = nearest(variants, self.small)
        return distances, [self.small_ids[place] for place in places]


def read_reals(
    clean: ImageSet,
    shape: tuple[int, int, int],
    classes: int,
    config: RealsConfig,
    seed: int,
    device: str,
) -> Reals:
    """Read the clean set and train the classifier; the test split is looked at by its ids alone.

    shape: height, width and channels that the generator makes. Raises ValueError where the set has
    no training images, or images of another shape.
    """
    frame = clean.frame()
    train = frame[frame["split"] == "train"].reset_index(drop=True)
    _check(clean, train, shape)
    labels = train["label"].fillna(0 if classes == 1 else -1).to_numpy(np.int64)
    small = _small(clean, config.space)
    spacing = _spacing(clean, train, labels, small, classes, config.space)
    classifier = _classifier(clean, train, labels, classes, config, seed, device)
    return Reals(
        fingerprint=clean.fingerprint,
        counts=np.bincount(labels[labels >= 0], minlength=classes),
        ids=frozenset(frame["id"]),
        space=config.space,
        small=small,
        small_ids=train["id"].tolist(),
        spacing=spacing,
        classifier=classifier,
        accuracy=_accuracy(classifier, clean, frame[frame["split"] == "val"]),
    )


def _check(clean: ImageSet, train: pd.DataFrame, shape: tuple[int, int, int]) -> None:
    if train.empty:
        raise ValueError(f"{clean.path} has no training images; raise ingest.shares.train")
    shapes = train[["height", "width", "channels"]].drop_duplicates().itertuples(index=False)
    wrong = [tuple(map(int, found)) for found in shapes if tuple(found) != shape]
    if wrong:
        raise ValueError(
            f"{clean.path} holds images of height, width and channels {wrong[0]}, the generator "
            f"makes {shape}; give the set that it was trained on"
        )


def _small(clean: ImageSet, space: SmallPixels) -> np.ndarray:
    parts, batch = [], []
    for _, image in clean.images("train"):
        batch.append(image)
        if len(batch) == BATCH:
            parts.append(space.of(np.stack(batch)))
            batch = []
    parts += [space.of(np.stack(batch))] if batch else []
    return np.concatenate(parts)


def _spacing(
    clean: ImageSet,
    train: pd.DataFrame,
    labels: np.ndarray,
    small: np.ndarray,
    classes: int,
    space: SmallPixels,
) -> np.ndarray:
    """Return float32 [K]: how far training images of a class lie from their nearest others."""
    order = _by_hash(train["id"], "spacing", 0)
    rows = np.concatenate([order[labels[order] == k][:SAMPLED] for k in range(classes)])
    images = _images(clean, train, rows)
    distances, _ = nearest(space.variants(images), small, own=rows)
    whole = float(np.median(distances)) if len(distances) else np.inf
    by_class = [distances[labels[rows] == label] for label in range(classes)]
    medians = [float(np.median(d)) if len(d) >= FEWEST else whole for d in by_class]
    return np.array(medians, np.float32)


def _classifier(
    clean: ImageSet,
    train: pd.DataFrame,
    labels: np.ndarray,
    classes: int,
    config: RealsConfig,
    seed: int,
    device: str,
) -> Classifier | None:
    if classes < 2:
        return None
    order = _by_hash(train["id"], "export-classifier", seed)
    rows = np.sort(order[labels[order] >= 0][: config.classifier_images])
    images = _images(clean, train, rows)
    return train_classifier(images, labels[rows], classes, config.classifier, seed, device)


def _accuracy(classifier: Classifier | None, clean: ImageSet, val: pd.DataFrame) -> float | None:
    labelled = val[val["label"].notna()]
    if classifier is None or labelled.empty:
        return None
    rights = 0
    for start in range(0, len(labelled), BATCH):
        part = labelled.iloc[start : start + BATCH]
        found = classifier.probabilities(_images(clean, part, np.arange(len(part)))).argmax(1)
        rights += int((found == part["label"].to_numpy(np.int64)).sum())
    return rights / len(labelled)


def _images(clean: ImageSet, frame: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """Return uint8 [N, H, W, C] of some rows of a frame, read in the order of the set."""
    places = frame["position"].to_numpy(np.int64)[rows]
    order = np.argsort(places, kind="stable")
    images: list[np.ndarray] = [np.empty(0)] * len(places)
    for place in order:
        images[place] = clean.at(int(places[place]))[1]
    return np.stack(images)


def _by_hash(ids: pd.Series, stage: str, seed: int) -> np.ndarray:
    keys = [philox_key(seed, stage, str(name)) for name in ids]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
