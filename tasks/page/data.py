"""The section of the page about the data: what came in, what was kept, what was left out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.page.inputs import IngestReport
from tasks.page.words import count, number, words

SPLITS = ("train", "val", "test")
PICTURES = ("pictures", *(f"pictures_{split}" for split in SPLITS))
ALIKE = ("near_duplicates", "near_duplicates_moved", "label_conflicts")
ORDER = ("found", "read", "kept", "duplicates", "quarantined", *SPLITS, *PICTURES, *ALIKE)


@dataclass(frozen=True)
class ClassCount:
    """Images of one class by split; share: of the largest class, 0..1."""

    name: str
    splits: list[int]
    total: int
    share: float


def data_section(report: IngestReport, rows: int) -> dict[str, Any]:
    """Return what the template of the data section needs; rows: of the quarantine list."""
    return {
        "counts": {words(name): report.metrics[name] for name in ordered(report.metrics)},
        "classes": class_counts(report.statistics.get("class_counts") or {}),
        "splits": SPLITS,
        "facts": facts(report.statistics),
        "warnings": report.statistics.get("warnings") or [],
        "alike": (report.statistics.get("near_duplicates") or {}).get("examples") or [],
        "conflicts": report.statistics.get("label_conflicts") or [],
        "quarantine": report.quarantine[:rows],
        "more": max(0, len(report.quarantine) - rows),
    }


def ordered(names: Iterable[str]) -> list[str]:
    """Return names of counts in the order in which images pass; unknown ones last."""
    return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


def class_counts(counts: Mapping[str, Mapping[str, int]]) -> list[ClassCount]:
    """Return the classes in their order, with their share of the largest."""
    totals = {name: sum(splits.values()) for name, splits in counts.items()}
    largest = max(totals.values(), default=0) or 1
    return [
        ClassCount(
            name, [splits.get(split, 0) for split in SPLITS], totals[name], totals[name] / largest
        )
        for name, splits in counts.items()
    ]


def facts(statistics: Mapping[str, Any]) -> dict[str, str]:
    """Return sizes, channels, mean and deviation in words."""
    told = {
        f"{words(name)}, px": _range(lengths)
        for name, lengths in (statistics.get("sizes") or {}).items()
        if lengths
    }
    if "channels" in statistics:
        channels = statistics["channels"]
        told["Channels"] = f"{channels} ({'grey' if channels == 1 else 'colour'})"
    for name, title in (("mean", "Mean, 0..255"), ("std", "Deviation, 0..255")):
        if name in statistics:
            told[title] = ", ".join(number(value, 1) for value in statistics[name])
    for name, title in (("correlation", "Correlation of a pair"), ("shift", "Shift of a pair, px")):
        if lengths := (statistics.get("pairs") or {}).get(name):
            low, high = (number(lengths[end]) for end in ("min", "max"))
            told[title] = f"{low} to {high}, mean {number(lengths['mean'])}"
    if statistics.get("unlabelled"):
        told["Without a label"] = count(statistics["unlabelled"])
    return told


def _range(lengths: Mapping[str, float]) -> str:
    low, high = lengths["min"], lengths["max"]
    if low == high:
        return count(low)
    return f"{count(low)} to {count(high)}, mean {number(lengths['mean'], 1)}"
