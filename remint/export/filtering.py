"""Which minted images are kept: filters in a fixed order, each with a limit or switched off."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remint.core.randomness import philox_key
from remint.export.filters import FILTERS, Candidate, FilterConfig, Mint, Rejection
from remint.export.nearness import Grown, between, nearest
from remint.export.reals import Reals
from remint.images.imageset import pixel_id

PILOT = 128  # images a class, minted to learn what the discriminator usually says
SEED_BITS = 53  # the whole numbers that every JSON reader keeps whole


@dataclass(frozen=True)
class Scores:
    """What is asked of all images of a batch at once, a value each; None: nobody to ask.

    kept: distance to the images of the class kept in earlier batches. distance, nearest_id: of the
    nearest training image. All distances in levels of small pixels.
    """

    kept: Sequence[float]
    distance: Sequence[float | None]
    nearest_id: Sequence[str | None]
    confidence: Sequence[float | None]
    discriminator: Sequence[float | None]


class Sieve:
    """Judges minted images in order and remembers those that it kept."""

    def __init__(self, minter: Mint, reals: Reals | None, filters: FilterConfig, seed: int) -> None:
        """reals: None to do without the filters that ask real images."""
        self._minter, self._reals, self._filters = minter, reals, filters
        self._discriminator_limits = discriminator_limits(minter, filters.discriminator, seed)
        self._ids: set[str] = set()
        self._kept = [Grown() for _ in range(minter.classes)]

    @property
    def absent(self) -> list[str]:
        """A sentence for every filter that was asked for and cannot be had."""
        reals, filters, notes = self._reals, self._filters, []
        if reals is None and (filters.near_duplicate, filters.training_copy) != (None, None):
            notes.append("No real set was given: copies and near-duplicates were not looked for.")
        if filters.confidence is not None and (reals is None or reals.classifier is None):
            why = "no real set was given" if reals is None else "the set has one class only"
            notes.append(f"Class confidence was not asked for: {why}.")
        if filters.discriminator and self._discriminator_limits is None:
            notes.append("The discriminator's filter was left out: this model has none.")
        return notes

    def judged(self, labels: np.ndarray, seeds: np.ndarray) -> list[Candidate]:
        """Mint for int64 [N] and [N]; return the images in order, kept or with the reason."""
        images = self._minter.mint(labels, seeds)
        variants = None if self._reals is None else self._reals.space.variants(images)
        scores = self._scores(images, labels, variants)
        pairs = None if variants is None else between(variants)
        done: list[Candidate] = []
        for k in range(len(images)):
            label = int(labels[k])
            before = [j for j, c in enumerate(done) if c.label == label and c.rejection is None]
            near = scores.kept[k]
            if pairs is not None and before:
                near = min(near, float(pairs[k, before].min()))
            found = self._candidate(images[k], label, int(seeds[k]), near, scores, k)
            if found.rejection is None:
                self._keep(found, None if variants is None else variants[0, k])
            done.append(found)
        return done

    def _keep(self, found: Candidate, small: np.ndarray | None) -> None:
        self._ids.add(found.id)
        if small is not None:
            self._kept[found.label].add(small)

    def _scores(
        self, images: np.ndarray, labels: np.ndarray, variants: np.ndarray | None
    ) -> Scores:
        nobody: Sequence[None] = [None] * len(images)
        judged = self._minter.logits(images, labels)
        discriminator = nobody if judged is None else judged.tolist()
        if self._reals is None or variants is None:
            return Scores([np.inf] * len(images), nobody, nobody, nobody, discriminator)
        distances, ids = self._reals.nearest(variants)
        confidence: Sequence[float | None] = nobody
        if self._reals.classifier is not None:
            probabilities = self._reals.classifier.probabilities(images)
            confidence = probabilities[np.arange(len(labels)), labels].tolist()
        kept = self._to_kept(variants, labels).tolist()
        return Scores(kept, distances.tolist(), ids, confidence, discriminator)

    def _to_kept(self, variants: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the distances float32 [N] to the images of the same class kept so far."""
        distances = np.full(len(labels), np.inf, np.float32)
        for label in np.unique(labels):
            members = labels == label
            distances[members], _ = nearest(variants[:, members], self._kept[int(label)].rows)
        return distances

    def _candidate(
        self, image: np.ndarray, label: int, seed: int, near: float, scores: Scores, k: int
    ) -> Candidate:
        spacing = None if self._reals is None else float(self._reals.spacing[label])
        known: dict[str, Any] = {
            "id": pixel_id(image),
            "deviation": float(image.std()),
            "nearest_distance": scores.distance[k],
            "nearest_ratio": _ratio(scores.distance[k], spacing),
            "nearest_id": scores.nearest_id[k],
            "confidence": scores.confidence[k],
            "discriminator_score": scores.discriminator[k],
        }
        why = self._rejection(known, label, _ratio(near, spacing))
        return Candidate(image=image, label=label, seed=seed, rejection=why, **known)

    def _rejection(
        self, known: dict[str, Any], label: int, near_ratio: float | None
    ) -> Rejection | None:
        """Return the first filter that turns the image down, None when none does."""
        filters, limits = self._filters, self._discriminator_limits
        real = self._reals is not None and known["id"] in self._reals.ids
        fresh = float(not (real or known["id"] in self._ids))
        tries: tuple[tuple[float | None, float | None], ...] = (
            (known["deviation"], filters.least_deviation),
            (fresh, 1.0 if filters.exact_duplicates else None),
            (near_ratio, filters.near_duplicate),
            (known["nearest_ratio"], filters.training_copy),
            (known["confidence"], filters.confidence),
            (known["discriminator_score"], None if limits is None else float(limits[label])),
        )
        for name, (value, limit) in zip(FILTERS, tries, strict=True):
            if value is not None and limit is not None and value < limit:
                return Rejection(name, value, limit)
        return None


def _ratio(distance: float | None, spacing: float | None) -> float | None:
    usable = distance is not None and spacing and np.isfinite([distance, spacing]).all()
    return distance / spacing if usable else None  # type: ignore[operator]


def discriminator_limits(minter: Mint, share: float | None, seed: int) -> np.ndarray | None:
    """Return float32 [K], for each class the score that `share` of its images fall below.

    A discriminator's scores have no zero and differ by class, so a pilot of 128 images a class says
    what is low. None where the filter is off or the model has no discriminator.
    """
    if not share:
        return None
    limits = []
    for label in range(minter.classes):
        labels = np.full(PILOT, label, np.int64)
        seeds = np.array([seed_of(seed, "pilot", label, k) for k in range(PILOT)], np.int64)
        scores = minter.logits(minter.mint(labels, seeds), labels)
        if scores is None:
            return None
        limits.append(np.quantile(scores, share))
    return np.array(limits, np.float32)


def seed_of(seed: int, purpose: str, label: int, attempt: int) -> int:
    """Return the seed of an attempt at an image of a class, 0 to 2^53 - 1."""
    return philox_key(seed, purpose, str(label), attempt) >> (128 - SEED_BITS)
