"""Counts and figures of an export, gathered while it runs."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from remint.export.filters import FILTERS, SETTINGS, Candidate, Rejection

SHOWN = 8  # pictures kept of each class, and of each filter
Pictures = defaultdict[Any, list[np.ndarray]]


def _pictures() -> Pictures:
    return defaultdict(list)


@dataclass
class Counts:
    """class_names: one a class; wanted: int64 [K] images a class.

    shown: pictures of exported images by class; rejected_by_filter, rejected_by_class: of rejected
    ones. reasons: against the images of each class that has none exported yet.
    """

    class_names: list[str]
    wanted: np.ndarray
    kept: Counter[int] = field(default_factory=Counter)
    rejected: Counter[tuple[int, str]] = field(default_factory=Counter)
    shown: Pictures = field(default_factory=_pictures)
    rejected_by_filter: Pictures = field(default_factory=_pictures)
    rejected_by_class: Pictures = field(default_factory=_pictures)
    reasons: defaultdict[int, list[Rejection]] = field(default_factory=lambda: defaultdict(list))
    confidences: list[float] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)

    def count(self, candidate: Candidate) -> None:
        """Take one minted image into account."""
        label, rejection = candidate.label, candidate.rejection
        if rejection is None:
            self._keep(candidate)
            return
        self.rejected[label, rejection.filter] += 1
        _show(self.rejected_by_filter[rejection.filter], candidate)
        if not self.kept[label]:
            _show(self.rejected_by_class[label], candidate)
            self.reasons[label].append(rejection)

    def _keep(self, candidate: Candidate) -> None:
        self.kept[candidate.label] += 1
        self.reasons.pop(candidate.label, None)
        _show(self.shown[candidate.label], candidate)
        self.confidences += [] if candidate.confidence is None else [candidate.confidence]
        distance = candidate.nearest_distance
        self.distances += [] if distance is None else [distance]

    def short(self) -> dict[str, int]:
        """Return how many images each class lacks that got some, but fewer than it wanted."""
        lacking = {n: int(want) - self.kept[n] for n, want in enumerate(self.wanted)}
        return {self.class_names[n]: k for n, k in lacking.items() if k > 0 and self.kept[n]}

    def missing(self) -> list[int]:
        """Return the classes that wanted images and got none."""
        return [n for n, want in enumerate(self.wanted) if want and not self.kept[n]]

    def by_filter(self) -> dict[str, int]:
        """Return the number of rejected images by filter, in their order."""
        return {
            name: sum(n for (_, filter_), n in self.rejected.items() if filter_ == name)
            for name in FILTERS
        }

    def metrics(self, accuracy: float | None) -> dict[str, float]:
        """Return the flat figures; those that could not be had are absent."""
        images, rejected = sum(self.kept.values()), self.by_filter()
        lacking = np.maximum(self.wanted - [self.kept[n] for n in range(len(self.wanted))], 0)
        figures: dict[str, float] = {
            "images": images,
            "images_short": int(lacking.sum()),
            "classes_missing": len(self.missing()),
            "minted": images + sum(rejected.values()),
            **{f"rejected_{name}": count for name, count in rejected.items()},
        }
        figures["kept_share"] = images / max(1, figures["minted"])
        if accuracy is not None:
            figures["filter_classifier_accuracy"] = accuracy
        if self.confidences:
            figures["confidence_mean"] = float(np.mean(self.confidences))
        if self.distances:
            figures["nearest_distance_median"] = float(np.median(self.distances))
            figures["nearest_distance_least"] = float(np.min(self.distances))
        return figures

    def classes(self) -> list[dict[str, Any]]:
        """Return one row a class: wanted, exported, minted, rejected by filter."""
        return [self._class(label, name) for label, name in enumerate(self.class_names)]

    def _class(self, label: int, name: str) -> dict[str, Any]:
        rejected = {filter_: self.rejected[label, filter_] for filter_ in FILTERS}
        kept = self.kept[label]
        counts = {"wanted": int(self.wanted[label]), "exported": kept}
        return {"class": name, **counts, "minted": kept + sum(rejected.values()), **rejected}

    def failures(self) -> list[dict[str, Any]]:
        """Return, for every missing class, what most of its images failed, and what to change."""
        return [self._failure(label) for label in self.missing()]

    def _failure(self, label: int) -> dict[str, Any]:
        reasons = self.reasons[label]
        name, count = Counter(reason.filter for reason in reasons).most_common(1)[0]
        values = [reason.value for reason in reasons if reason.filter == name]
        limit = next(reason.limit for reason in reasons if reason.filter == name)
        setting = f"export_synthetic.filters.{SETTINGS[name]}"
        best, middle = max(values), float(np.median(values))
        text = (
            f"No image of {self.class_names[label]} passed the filters: {count:,} of "
            f"{len(reasons):,} were rejected by {setting} ({FILTERS[name]}), with scores from "
            f"{min(values):.3g} over {middle:.3g} to {best:.3g} where {limit:.3g} is needed. "
            f"Train the generator longer, or change {setting}."
        )
        facts = {"class": self.class_names[label], "label": label, "filter": name}
        return {**facts, "setting": setting, "limit": limit, "best": best, "text": text}


def _show(pictures: list[np.ndarray], candidate: Candidate) -> None:
    if len(pictures) < SHOWN:
        pictures.append(candidate.image)
