"""What an ingest saw and kept: counts, sizes, classes, pixel statistics, the quarantine list."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from remint.images.imageset import SPLITS
from remint.ingest.scenes import Match


@dataclass
class Range:
    """Running smallest, largest and mean of a length in pixels."""

    smallest: float = math.inf
    largest: float = -math.inf
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """Take one more length in."""
        self.smallest, self.largest = min(self.smallest, value), max(self.largest, value)
        self.total, self.count = self.total + value, self.count + 1

    def summary(self) -> dict[str, float]:
        """Return min, max and mean; empty where nothing was seen."""
        if not self.count:
            return {}
        mean = self.total / self.count
        return {"min": self.smallest, "max": self.largest, "mean": mean}


@dataclass
class Census:
    """Filled while a set is written; memory grows with classes, bad items and pictures."""

    found: int = 0
    duplicates: int = 0
    quarantine: list[tuple[str, str]] = field(default_factory=list)
    splits: Counter[str] = field(default_factory=Counter)
    labels: defaultdict[int | None, Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    ranges: defaultdict[str, Range] = field(default_factory=lambda: defaultdict(Range))
    pairs: defaultdict[str, Range] = field(default_factory=lambda: defaultdict(Range))
    pictures: defaultdict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    pixels: int = 0
    sums: Any = 0.0  # float64 (2, C): per channel the sum of values and of their squares

    def item(self, source: str, size: tuple[int, int], problem: str | None) -> None:
        """Count one item of the source: (height, width) as read, or its problem."""
        self.found += 1
        if problem is not None:
            self.quarantine.append((source, problem))
            return
        self.ranges["original_height"].add(size[0])
        self.ranges["original_width"].add(size[1])

    def match(self, match: Match | None) -> None:
        """Take in how the halves of a pair match."""
        if match is not None:
            self.pairs["correlation"].add(match.correlation)
            self.pairs["shift"].add(match.distance)

    def row(self, row: Mapping[str, Any], sums: np.ndarray, picture: str) -> None:
        """Count one row that is kept; sums: float64 (2, C) of its pixels and their squares.

        picture: names the picture that it shows or is a part of.
        """
        self.splits[row["split"]] += 1
        self.pictures[row["split"]].add(blake2b(picture.encode(), digest_size=8).digest())
        self.labels[row["label"]][row["split"]] += 1
        self.ranges["height"].add(row["height"])
        self.ranges["width"].add(row["width"])
        self.pixels += row["height"] * row["width"]
        self.sums = self.sums + sums

    def check(self, max_bad_share: float, shares: Mapping[str, float]) -> None:
        """Raise ValueError for too many bad items, for no image, and for a split left empty."""
        bad = len(self.quarantine)
        if bad > max_bad_share * self.found:
            source, reason = self.quarantine[0]
            raise ValueError(
                f"{bad} of {self.found} images cannot be used, more than max_bad_share "
                f"{max_bad_share:g} allows; the first: {source} {reason}; the others stand in "
                "quarantine.csv"
            )
        if not self.splits:
            raise ValueError("The source holds no image; check source and path")
        for split in SPLITS:
            if shares[split] > 0 and not self.splits[split]:
                raise ValueError(
                    f"No image fell into {split} ({self.splits.total()} images of "
                    f"{self._pictures()} pictures, share {shares[split]:g}); add pictures, raise "
                    "its share, set it to 0, or change the seed"
                )

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for each held-out split that is one picture in parts or versions."""
        for split in ("val", "test"):
            if self.splits[split] > len(self.pictures[split]) == 1:
                yield (
                    f"the {self.splits[split]:,} images of {split} are of one picture, which is no "
                    f"{split} set: what is measured there says nothing of other pictures; add "
                    "some, or raise its share"
                )

    def _pictures(self) -> int:
        return sum(len(names) for names in self.pictures.values())

    def metrics(self) -> dict[str, int]:
        """Return the counts; `kept` are rows, which tiles make more than `read` items.

        pictures: whole ones, in all and by split; a tile or another damaged version is none.
        """
        return {
            "found": self.found,
            "read": self.found - len(self.quarantine),
            "kept": self.splits.total(),
            "duplicates": self.duplicates,
            "quarantined": len(self.quarantine),
            **{split: self.splits[split] for split in SPLITS},
            "pictures": self._pictures(),
            **{f"pictures_{split}": len(self.pictures[split]) for split in SPLITS},
        }

    def statistics(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return sizes, channels, images per class and split, mean and deviation (0..255).

        pairs: correlation of the halves of those that were kept, and their shift in px.
        """
        counts = {
            name: {split: self.labels[label][split] for split in SPLITS}
            for label, name in enumerate(class_names)
        }
        return {
            "sizes": {name: lengths.summary() for name, lengths in sorted(self.ranges.items())},
            "class_counts": counts,
            "unlabelled": self.labels[None].total() if None in self.labels else 0,
            "pairs": {name: told.summary() for name, told in sorted(self.pairs.items())},
            "warnings": list(self.warnings()),
            **self._moments(),
        }

    def _moments(self) -> dict[str, Any]:
        if not self.pixels:
            return {}
        mean, square = self.sums / self.pixels
        deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
        return {"channels": len(mean), "mean": mean.tolist(), "std": deviation.tolist()}
