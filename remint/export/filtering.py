"""Minted images in, the same images out with what is known of each and why it was rejected.

Filters measure and reject; they mint nothing. Each sees what those before it let through, so the
dear ones look at few; the order is that of remint.export.filters.FILTERS.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from remint.classifier.train import Classifier
from remint.export.filters import FILTERS, Candidate, FilterConfig, Finding, MintedBatch, Rejection
from remint.export.reals import RealSide
from remint.images.imageset import pixel_id
from remint.metrics.suspects import look

Critic = Callable[[np.ndarray, np.ndarray], np.ndarray | None]  # images, labels -> logits [N]


class Filter(Protocol):
    """One reason to reject an image. name: of FILTERS."""

    name: str

    def __call__(self, batch: MintedBatch) -> Finding:
        """Say what is known of the images of a batch."""
        ...


def filtered(batch: MintedBatch, filters: Sequence[Filter]) -> list[Candidate]:
    """Return every image of the batch, in order, kept or with the first reason against it."""
    known: list[dict[str, Any]] = [{"id": pixel_id(image)} for image in batch.images]
    left = np.arange(len(batch))
    for filter_ in filters:
        if not len(left):
            break
        finding = filter_(batch.take(left))
        for column, values in finding.scores.items():
            for row, value in zip(left, values, strict=True):
                known[row][column] = value
        low = finding.values < finding.limits
        for row, value, limit in zip(
            left[low], finding.values[low], finding.limits[low], strict=True
        ):
            known[row]["rejection"] = Rejection(filter_.name, float(value), float(limit))
        left = left[~low]
    return [
        Candidate(image=image, label=int(label), seed=int(seed), **facts)
        for image, label, seed, facts in zip(
            batch.images, batch.labels, batch.seeds, known, strict=True
        )
    ]


def build_filters(
    config: FilterConfig, reals: RealSide | None, critic: Critic, limits: np.ndarray | None
) -> list[Filter]:
    """Return the filters that can be had, in order.

    Those that are switched off stay, without a limit, where they know a score of the image. reals:
    None to do without those that ask real images; limits: float32 [K], the discriminator's.
    """
    filters: list[Filter] = [Validity(config.least_deviation), Discriminator(critic, limits)]
    if config.exact_duplicates:
        filters.append(ExactDuplicates(frozenset() if reals is None else reals.ids))
    if reals is not None:
        filters.append(TrainingCopies(reals, config.training_copy))
        if reals.classifier is not None:
            filters.append(Confidence(reals.classifier, config.confidence))
        if config.near_duplicate is not None:
            filters.append(NearDuplicates(reals, config.near_duplicate))
    order = list(FILTERS)
    return sorted(filters, key=lambda filter_: order.index(filter_.name))


def rejecting(config: FilterConfig, reals: RealSide | None, limits: np.ndarray | None) -> list[str]:
    """Return the names of the filters that can reject an image, in order."""
    classified = reals is not None and reals.classifier is not None
    able = {
        "validity": config.least_deviation is not None,
        "exact_duplicate": config.exact_duplicates,
        "confidence": classified and config.confidence is not None,
        "discriminator": limits is not None,
        "training_copy": reals is not None and config.training_copy is not None,
        "near_duplicate": reals is not None and config.near_duplicate is not None,
    }
    return [name for name in FILTERS if able[name]]


def absent(config: FilterConfig, reals: RealSide | None, limits: np.ndarray | None) -> list[str]:
    """Return a sentence for every filter that was asked for and cannot be had."""
    notes = []
    if reals is None and (config.near_duplicate, config.training_copy) != (None, None):
        notes.append("No real set was given: copies and near-duplicates were not looked for.")
    if config.confidence is not None and (reals is None or reals.classifier is None):
        why = "no real set was given" if reals is None else "the set has one class only"
        notes.append(f"Class confidence was not asked for: {why}.")
    if config.discriminator and limits is None:
        notes.append("The discriminator's filter was left out: this model has none.")
    return notes


class Validity:
    """Rejects images whose pixels hardly differ."""

    name = "validity"

    def __init__(self, limit: float | None) -> None:
        self._limit = limit

    def __call__(self, batch: MintedBatch) -> Finding:
        """Measure the deviation of the pixels, in levels."""
        values = batch.images.reshape(len(batch), -1).std(axis=1)
        return Finding(values, _limits(self._limit, len(batch)), {})


class ExactDuplicates:
    """Rejects images whose pixels came before; equal ones would fare alike in any case."""

    name = "exact_duplicate"

    def __init__(self, real_ids: frozenset[str]) -> None:
        self._seen = set(real_ids)

    def __call__(self, batch: MintedBatch) -> Finding:
        """Say 1 for a new image, 0 for one that came before; remember all."""
        fresh = np.zeros(len(batch))
        for row, image in enumerate(batch.images):
            name = pixel_id(image)
            fresh[row] = name not in self._seen
            self._seen.add(name)
        return Finding(fresh, np.ones(len(batch)), {})


class Confidence:
    """Rejects images that a classifier of real ones takes for another class."""

    name = "confidence"

    def __init__(self, classifier: Classifier, limit: float | None) -> None:
        self._classifier, self._limit = classifier, limit

    def __call__(self, batch: MintedBatch) -> Finding:
        """Ask for the probability of the class that was minted; that of all is a soft label."""
        probabilities = self._classifier.probabilities(batch.images)
        values = probabilities[np.arange(len(batch)), batch.labels]
        limits = _limits(self._limit, len(batch))
        scores = {"confidence": values.tolist(), "soft_label": probabilities.tolist()}
        return Finding(values, limits, scores)


class Discriminator:
    """Rejects of each class what the discriminator likes least."""

    name = "discriminator"

    def __init__(self, critic: Critic, limits: np.ndarray | None) -> None:
        """limits: float32 [K], a score a class; None: off, or no discriminator."""
        self._critic, self._by_class = critic, limits

    def __call__(self, batch: MintedBatch) -> Finding:
        """Ask for the discriminator's logits."""
        scores = self._critic(batch.images, batch.labels)
        off = _limits(None, len(batch))
        if scores is None:
            return Finding(np.zeros(len(batch)), off, {})
        limits = off if self._by_class is None else self._by_class[batch.labels]
        return Finding(scores, limits, {"discriminator_score": scores.tolist()})


class TrainingCopies:
    """Rejects what the copy check would suspect, by the same spaces and rules."""

    name = "training_copy"

    def __init__(self, reals: RealSide, share: float | None) -> None:
        self._reals = reals
        self._alarm = None if share is None else reals.alarm(share)

    def __call__(self, batch: MintedBatch) -> Finding:
        """Look the nearest training images up; a suspect's least statistic is below its limit."""
        lookup = look(self._reals.spaces, batch.images)
        pixels = lookup.by_space["pixels"]
        scores = {
            "nearest_distance": pixels.nearest.tolist(),
            "nearest_ratio": pixels.ratio.tolist(),
            "nearest_id": [self._reals.train.ids[row] for row in pixels.indices[:, 0]],
        }
        if self._alarm is None:
            return Finding(np.zeros(len(batch)), _limits(None, len(batch)), scores)
        return Finding(self._alarm.margins(lookup), np.ones(len(batch)), scores)


class NearDuplicates:
    """Rejects what lies nearer to an exported image of its class than real images do; the last."""

    name = "near_duplicate"

    def __init__(self, reals: RealSide, share: float) -> None:
        self._pixels, self._by_class = reals.pixels, reals.class_distances(share)
        self._kept: dict[int, np.ndarray] = {}

    def __call__(self, batch: MintedBatch) -> Finding:
        """Measure the distance of each image to those let through before it."""
        values = np.full(len(batch), np.inf)
        versions = self._pixels.versions(batch.images)
        for label in np.unique(batch.labels):
            rows = np.flatnonzero(batch.labels == label)
            values[rows] = self._of_class(int(label), versions[rows])
        return Finding(values, self._by_class[batch.labels], {})

    def _of_class(self, label: int, versions: np.ndarray) -> np.ndarray:
        """Return float64 [N] for the versions [N, V, D] of one class, and keep those far enough."""
        values = np.full(len(versions), np.inf)
        kept = self._kept.get(label)
        if kept is not None:
            values = self._pixels.among(versions, kept).nearest
        new: list[np.ndarray] = [] if kept is None else [kept]
        start = len(new)
        for row, shifted in enumerate(versions):
            if len(new) > start:
                nearest = self._pixels.among(shifted[None], np.concatenate(new[start:])).nearest[0]
                values[row] = min(values[row], nearest)
            if values[row] >= self._by_class[label]:
                new.append(shifted[:1])
        if new:
            self._kept[label] = np.concatenate(new)
        return values


def _limits(limit: float | None, count: int) -> np.ndarray:
    return np.full(count, -np.inf if limit is None else limit)
