"""What an ingest saw and kept: counts, sizes, classes, pixel statistics, the quarantine list."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from remint.images.imageset import SPLITS
from remint.ingest.remembered import PictureKeys
from remint.ingest.scenes import Match

EXAMPLES = 20  # groups and conflicts whose names are told


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


@dataclass(frozen=True)
class NearDuplicates:
    """Pictures that look the same, in groups of two or more.

    straddled: groups that stood in several splits; straddling: those that still do, since the
    source names their splits itself; moved: images that got another split; examples: groups by the
    names of their pictures.
    """

    groups: int = 0
    pictures: int = 0
    straddled: int = 0
    straddling: int = 0
    moved: int = 0
    examples: list[list[str]] = field(default_factory=list)


@dataclass
class Census:
    """Filled while a set is written; memory grows with classes, bad items and conflicts alone.

    repeated: exact copies that were left out and stand under another label than the first, as row
    of the first, name and label; conflicts: pairs of names, with their labels, under which the same
    picture stands.
    """

    found: int = 0
    duplicates: int = 0
    quarantine: list[tuple[str, str]] = field(default_factory=list)
    splits: Counter[str] = field(default_factory=Counter)
    labels: defaultdict[int | None, Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    ranges: defaultdict[str, Range] = field(default_factory=lambda: defaultdict(Range))
    pairs: defaultdict[str, Range] = field(default_factory=lambda: defaultdict(Range))
    pictures: PictureKeys = field(default_factory=PictureKeys)
    offered: Counter[int | None] = field(default_factory=Counter)
    refused: Counter[int | None] = field(default_factory=Counter)
    small: int = 0
    repeated: list[tuple[int, str, int]] = field(default_factory=list)
    conflicts: list[tuple[str, str]] = field(default_factory=list)
    near: NearDuplicates = field(default_factory=NearDuplicates)
    pixels: int = 0
    sums: Any = 0.0  # float64 (2, C): per channel the sum of values and of their squares

    def item(
        self,
        source: str,
        label: int | None,
        size: tuple[int, int],
        problem: str | None,
        small: bool = False,
    ) -> None:
        """Count one item of the source: (height, width) as read, or its problem, such as size."""
        self.found += 1
        self.offered[label] += 1
        if problem is not None:
            self.quarantine.append((source, problem))
            self.refused[label] += 1
            self.small += small
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
        self.pictures.add(row["split"], picture_key(picture))
        self.labels[row["label"]][row["split"]] += 1
        self.ranges["height"].add(row["height"])
        self.ranges["width"].add(row["width"])
        self.pixels += row["height"] * row["width"]
        self.sums = self.sums + sums

    def moved(self, label: int | None, old: str, new: str, picture: int) -> None:
        """Count one row, and the picture that it shows, in another split than before."""
        for counts in (self.splits, self.labels[label]):
            counts[old] -= 1
            counts[new] += 1
        self.pictures.discard(old, picture)
        self.pictures.add(new, picture)

    def check(
        self, max_bad_share: float, shares: Mapping[str, float], class_names: Sequence[str]
    ) -> None:
        """Raise ValueError for too many bad items, for no image, and for a split or class empty."""
        bad = len(self.quarantine)
        if bad > max_bad_share * self.found:
            source, reason = self.quarantine[0]
            raise ValueError(
                f"{bad} of {self.found} images cannot be used, more than max_bad_share "
                f"{max_bad_share:g} allows; the first: {source} {reason}; the others stand in "
                f"quarantine.csv{self._advice()}"
            )
        if not self.splits:
            raise ValueError("The source holds no image; check source and path")
        self._check_classes(class_names)
        for split in SPLITS:
            if shares[split] > 0 and not self.splits[split]:
                pictures = self.pictures.counts().total()
                raise ValueError(
                    f"No image fell into {split} ({self.splits.total()} images of "
                    f"{pictures} pictures, {self.near.pictures} of which look like others "
                    f"and stay with them, share {shares[split]:g}); add pictures, raise its share, "
                    "set it to 0, or change the seed"
                )

    def _advice(self) -> str:
        if not self.small:
            return ""
        return (
            f"; {self.small} are too small for their tiles: let ingest.fit pad or resize, or make "
            "ingest.size less"
        )

    def _check_classes(self, class_names: Sequence[str]) -> None:
        for label, name in enumerate(class_names):
            if self.offered[label] and not self.labels[label].total():
                bad = self.refused[label]
                copies = self.offered[label] - bad
                raise ValueError(
                    f"Class {name!r} is left without an image: of its {self.offered[label]} files "
                    f"{copies} show pictures that stand elsewhere, {bad} cannot be used"
                    f"{self._first_conflict()}; mend them or take the class out of the source"
                )

    def _first_conflict(self) -> str:
        if not self.conflicts:
            return ""
        first, second = self.conflicts[0]
        return f", such as {second}, the same as {first}"

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for each held-out split of one picture, for leaks and for conflicts."""
        pictures = self.pictures.counts()
        for split in ("val", "test"):
            if self.splits[split] > pictures[split] == 1:
                yield (
                    f"the {self.splits[split]:,} images of {split} are of one picture or group, "
                    f"which is no {split} set: what is measured there says nothing of other "
                    "pictures; add some, or raise its share"
                )

        if self.near.straddling:
            yield (
                f"{self.near.straddling:,} groups of pictures that look the same stand in several "
                "splits, since the source names their splits itself: held-out figures are too good "
                "by what is learnt by heart"
            )
        if self.conflicts:
            first, second = self.conflicts[0]
            yield (
                f"{len(self.conflicts):,} pictures stand under two labels, the first as {first} "
                f"and {second}: what is learnt and measured of these classes is unsure"
            )

    def metrics(self) -> dict[str, int]:
        """Return the counts; `kept` are rows, which tiles make more than `read` items.

        pictures: whole ones, in all and by split; a tile or another damaged version is none.
        """
        pictures = self.pictures.counts()
        return {
            "found": self.found,
            "read": self.found - len(self.quarantine),
            "kept": self.splits.total(),
            "duplicates": self.duplicates,
            "near_duplicates": self.near.pictures,
            "near_duplicates_moved": self.near.moved,
            "label_conflicts": len(self.conflicts),
            "quarantined": len(self.quarantine),
            **{split: self.splits[split] for split in SPLITS},
            "pictures": pictures.total(),
            **{f"pictures_{split}": pictures[split] for split in SPLITS},
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
            "near_duplicates": asdict(self.near),
            "label_conflicts": [list(names) for names in self.conflicts[:EXAMPLES]],
            "warnings": list(self.warnings()),
            **self._moments(),
        }

    def _moments(self) -> dict[str, Any]:
        if not self.pixels:
            return {}
        mean, square = self.sums / self.pixels
        deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
        return {"channels": len(mean), "mean": mean.tolist(), "std": deviation.tolist()}


def picture_key(picture: str) -> int:
    """Return 64 bits that stand for a picture's name."""
    return int.from_bytes(blake2b(picture.encode(), digest_size=8).digest(), "big")
