"""Sections of the page about the restorer: sliders, slices, galleries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.page.inputs import RestorerReport
from tasks.page.pictures import EmbeddedPicture, picture
from tasks.page.restorer_verdict import CLEAN, slice_name
from tasks.page.words import listed, words

ROLES = ("input", "classical", "output", "target", "error", "doubt")
GROUPS = {
    "best": "Best: the largest gains",
    "median": "Median: the ordinary case",
    "worst": "Worst: the smallest gains, or losses",
    "random": "Random: chosen by a hash, the same in every run",
}
SATURATED = 10.0  # dB of gain at which a cell's colour is full
WIDER = 3  # times the pixels that a single image gets: what was measured as tiles, shown whole
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Example:
    """One restored test image: facts of gallery.json and its pictures by role."""

    name: str
    facts: Row
    pictures: dict[str, EmbeddedPicture]


@dataclass(frozen=True)
class Cell:
    """One slice in the overview. tint: -1..1, the sign and size of the gain."""

    row: Row
    tint: float
    below_classical: bool


@dataclass(frozen=True)
class Kind:
    """All slices of one kind of damage; cells: by strength, None where it was not measured."""

    name: str
    rows: list[Row]
    cells: list[Cell | None]
    methods: str
    trained: bool | None


def kinds(slices: Sequence[Row], trained: set[str] | None) -> list[Kind]:
    """Group slices by kind, whole images last; trained: kinds that training drew, None unknown."""
    names = sorted(dict.fromkeys(row["kind"] for row in slices), key=lambda kind: kind == CLEAN)
    columns = strengths(slices)
    return [
        _kind(name, [row for row in slices if row["kind"] == name], columns, trained)
        for name in names
    ]


def strengths(slices: Iterable[Row]) -> list[int]:
    """Return the strengths above 0 that were measured: the columns of the overview."""
    return sorted({row["severity"] for row in slices if row["severity"]})


def trained_kinds(values: Mapping[str, Any]) -> set[str] | None:
    """Return the kinds that the corrupt section draws for training; None where it says nothing."""
    training = (values.get("corrupt") or {}).get("training") or {}
    steps = training.get("steps")
    return (
        {str(step["kind"]) for step in steps if step.get("probability", 1) > 0} if steps else None
    )


def extra_columns(slices: Iterable[Row]) -> list[str]:
    """Return which figures beyond PSNR and SSIM any slice has, in the order they are shown."""
    known = ("psnr_inside", "psnr_outside", "lpips_input", "lpips")
    figures = {name: value for row in slices for name, value in row.items()}
    return [name for name in known if name in figures] + list(distances(figures))


def distances(figures: Row) -> dict[str, float]:
    """Return the distances between sets of images among `figures`, sorted by name."""
    return {name: figures[name] for name in sorted(figures) if name.startswith(("kid_", "fd_"))}


def examples(report: RestorerReport, group: str, longest: int) -> list[Example]:
    """Return the examples of a gallery group in their order."""
    return [_example(entry, report, longest) for entry in report.gallery if entry["group"] == group]


def galleries(report: RestorerReport, shown: int, featured: int, longest: int) -> dict[str, Any]:
    """Return the examples with sliders, and `shown` of each group without those again.

    Sliders show fixed random images, so that nobody chose them; before them pictures that were
    measured as tiles, whole again.
    """
    whole = examples(report, "pages", WIDER * longest)[:featured]
    sliders = [*whole, *examples(report, "random", longest)[:featured]]
    groups = {
        title: examples(report, group, longest)[(featured if group == "random" else 0) :][:shown]
        for group, title in GROUPS.items()
    }
    return {"sliders": sliders, "groups": {k: v for k, v in groups.items() if v}}


def doubt(report: RestorerReport, sliders: Sequence[Example]) -> dict[str, Any]:
    """Return the map's promise, its coverage slice by slice and in all, and an example."""
    measured = [row for row in report.slices if "doubt_covered" in row]
    return {
        "sentence": report.doubt[:1].upper() + report.doubt[1:].rstrip("."),
        "rows": [(slice_name(row), row) for row in measured],
        "total": report.metrics if measured else None,
        "example": next((one for one in sliders if "doubt" in one.pictures), None),
    }


def _kind(name: str, rows: list[Row], columns: list[int], trained: set[str] | None) -> Kind:
    by_strength = {row["severity"]: row for row in rows}
    methods = dict.fromkeys(
        str(row["classical_method"]) for row in rows if row.get("classical_method")
    )
    return Kind(
        name=words(name),
        rows=rows,
        cells=[_cell(by_strength.get(column)) for column in columns]
        if name != CLEAN and any(by_strength)
        else [],
        methods=listed([words(method) for method in methods]) if methods else "",
        trained=None if trained is None or name in (CLEAN, "mixed", "real") else name in trained,
    )


def _cell(row: Row | None) -> Cell | None:
    if row is None:
        return None
    tint = max(-1.0, min(1.0, row["gain"] / SATURATED))
    return Cell(row, tint, row["psnr"] <= row.get("psnr_classical", float("-inf")))


def _example(entry: Row, report: RestorerReport, longest: int) -> Example:
    pictures = {
        role: picture(report.pictures / str(entry[role]), longest)
        for role in ROLES
        if entry.get(role)
    }
    return Example(slice_name(entry) + _tiles(entry), entry, pictures)


def _tiles(entry: Row) -> str:
    """Say of a picture that was put together how much of it was measured."""
    if "tiles" not in entry:
        return ""
    measured, there = entry["tiles"], entry["tiles_there"]
    share = f"{there} tiles" if measured == there else f"{measured} of {there} tiles measured"
    return f", whole: {share}"
