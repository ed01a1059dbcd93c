"""Counts and figures of an export, gathered while it runs."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from remint.export.filters import FILTERS, Candidate

SHOWN = 8  # pictures kept of each class, and of each filter


@dataclass
class Counts:
    """class_names: one a class; wanted: int64 [K] images a class."""

    class_names: list[str]
    wanted: np.ndarray
    kept: Counter[int] = field(default_factory=Counter)
    rejected: Counter[tuple[int, str]] = field(default_factory=Counter)
    shown: defaultdict[int, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    turned_down: defaultdict[str, list[np.ndarray]] = field(
        default_factory=lambda: defaultdict(list)
    )
    confidences: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def count(self, found: Candidate) -> None:
        """Take one minted image into account."""
        if found.rejection is not None:
            self.rejected[found.label, found.rejection.filter] += 1
            pictures = self.turned_down[found.rejection.filter]
        else:
            self.kept[found.label] += 1
            pictures = self.shown[found.label]
            self.confidences += [] if found.confidence is None else [found.confidence]
            self.ratios += [] if found.nearest_ratio is None else [found.nearest_ratio]
        if len(pictures) < SHOWN:
            pictures.append(found.image)

    def short(self) -> dict[str, int]:
        """Return how many images each class lacks that did not get what it wanted."""
        lacking = {n: int(want) - self.kept[n] for n, want in enumerate(self.wanted)}
        return {self.class_names[n]: count for n, count in lacking.items() if count > 0}

    def by_filter(self) -> dict[str, int]:
        """Return the number of rejected images by filter, in their order."""
        return {
            name: sum(n for (_, found), n in self.rejected.items() if found == name)
            for name in FILTERS
        }

    def metrics(self, accuracy: float | None) -> dict[str, float]:
        """Return the flat figures; those that could not be had are absent."""
        images, rejected = sum(self.kept.values()), self.by_filter()
        figures: dict[str, float] = {
            "images": images,
            "images_short": sum(self.short().values()),
            "minted": images + sum(rejected.values()),
            **{f"rejected_{name}": count for name, count in rejected.items()},
        }
        figures["kept_share"] = images / max(1, figures["minted"])
        if accuracy is not None:
            figures["filter_classifier_accuracy"] = accuracy
        if self.confidences:
            figures["confidence_mean"] = float(np.mean(self.confidences))
        if self.ratios:
            figures["nearest_ratio_median"] = float(np.median(self.ratios))
            figures["nearest_ratio_least"] = float(np.min(self.ratios))
        return figures

    def classes(self) -> list[dict[str, Any]]:
        """Return one row a class: wanted, exported, minted, rejected by filter."""
        return [self._class(label, name) for label, name in enumerate(self.class_names)]

    def _class(self, label: int, name: str) -> dict[str, Any]:
        rejected = {filter: self.rejected[label, filter] for filter in FILTERS}
        kept = self.kept[label]
        counts = {"wanted": int(self.wanted[label]), "exported": kept}
        return {"class": name, **counts, "minted": kept + sum(rejected.values()), **rejected}
