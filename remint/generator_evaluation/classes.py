"""Is each class right? Minted images class by class, named by a classifier of the real ones."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from more_itertools import chunked

from remint.classifier.train import Classifier
from remint.generator_evaluation.scoring import (
    Mint,
    Reals,
    Row,
    Watch,
    labels_of,
    minted,
    seeds_for,
)
from remint.metrics.kernel import kernel_distance
from remint.metrics.validity import KID_LEAST

BATCH = 128


@dataclass(frozen=True)
class ClassSample:
    """Minted images of one class, without their pixels: those come again from the seeds.

    confidence: float32 [N], the classifier's probability of the class asked for; right: bool [N];
    features: float32 [N, D].
    """

    label: int
    seeds: np.ndarray
    confidence: np.ndarray
    right: np.ndarray
    features: np.ndarray


def sample_classes(
    mint: Mint, classifier: Classifier, count: int, seed: int, watch: Watch[int]
) -> list[ClassSample]:
    """Mint `count` images of every class and look at them with the classifier."""
    labels = watch(range(mint.classes), mint.classes, "classes")
    return [_sample(mint, classifier, label, count, seed) for label in labels]


def _sample(mint: Mint, classifier: Classifier, label: int, count: int, seed: int) -> ClassSample:
    seeds = seeds_for(seed, f"class {label}", count)
    probabilities, features = [], []
    for part in chunked(minted(mint, np.full(count, label, np.int64), seeds), BATCH):
        images = np.stack(part)
        probabilities.append(classifier.probabilities(images))
        features.append(classifier.features(images))
    every = np.concatenate(probabilities)
    return ClassSample(
        label, seeds, every[:, label], every.argmax(1) == label, np.concatenate(features)
    )


def class_rows(
    samples: Iterable[ClassSample], names: list[str], rows: pd.DataFrame, features: np.ndarray
) -> list[Row]:
    """Return a row of figures for each class.

    rows, features: real train images and their features [M, D] in the classifier's space. KID is
    absent where a side has under 200 images.
    """
    labels = labels_of(rows, len(names))
    return [
        _row(sample, names[sample.label], features[labels == sample.label]) for sample in samples
    ]


def _row(sample: ClassSample, name: str, real: np.ndarray) -> Row:
    row: Row = {
        "label": sample.label,
        "name": name,
        "images": len(sample.seeds),
        "real_images": len(real),
        "accuracy": float(sample.right.mean()),
        "confidence": float(sample.confidence.mean()),
    }
    if min(len(real), len(sample.seeds)) >= KID_LEAST:
        kid = kernel_distance(real, sample.features)
        row |= {"kid_classifier": kid.mean, "kid_classifier_se": kid.standard_error}
    return row


def class_notes(rows: list[Row], accuracy: float | None) -> list[str]:
    """Say by what the classes were named, and which KID is absent."""
    notes = []
    if accuracy is not None:
        notes.append(
            f"Class accuracy is by a classifier that gets {accuracy:.1%} of real test images "
            "right; high accuracy alone also rewards a class of look-alikes."
        )
    short = [row["name"] for row in rows if "kid_classifier" not in row]
    if short:
        notes.append(
            f"No KID for {len(short)} classes ({', '.join(short[:5])}): it needs {KID_LEAST} "
            "images a side."
        )
    return notes


def accuracy_on_test(classifier: Classifier, reals: Reals) -> float | None:
    """Return the share of real test images that the classifier names right; None without any."""
    frame = reals.held_out
    test = frame[(frame["split"] == "test") & frame["label"].notna()]
    if test.empty:
        return None
    images = chunked(reals.images(test), BATCH)
    named = [classifier.probabilities(np.stack(part)).argmax(axis=1) for part in images]
    return float((np.concatenate(named) == test["label"].to_numpy(np.int64)).mean())
