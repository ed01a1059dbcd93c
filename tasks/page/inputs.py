"""What the report page is made from: the folders that stages wrote, read as they are.

A folder says by what it holds which stage wrote it, so that any may be absent and none is named
twice: slices.json makes a restorer's evaluation, quarantine.csv an ingest, restorer.json a model.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class IngestReport:
    """Counts, statistics, and the quarantine list as (source, reason)."""

    metrics: dict[str, Any]
    statistics: dict[str, Any]
    quarantine: list[tuple[str, str]]


@dataclass(frozen=True)
class RestorerReport:
    """Figures of the evaluation; pictures are read when they are placed.

    model: which it was. slices: one mapping a row, figures that are not valid absent. gallery:
    facts and file names relative to `pictures`. doubt: what the map of doubt promises, or why
    there is none.
    """

    model: dict[str, Any]
    metrics: dict[str, float]
    slices: list[dict[str, Any]]
    notes: list[str]
    extractor: str
    gallery: list[dict[str, Any]]
    pictures: Path
    doubt: str = ""


@dataclass(frozen=True)
class ModelFolder:
    """A trained model: its card, its curves (None where there are none), its sample grids."""

    card: dict[str, Any]
    history: pd.DataFrame | None
    samples: list[Path]


@dataclass(frozen=True)
class StageReport:
    """What one of the minting half's stages wrote.

    facts: its JSON files by name, such as `figures` or `utility`. gallery: facts and file names
    relative to `pictures`.
    """

    metrics: dict[str, float]
    facts: dict[str, Any]
    gallery: list[dict[str, Any]]
    pictures: Path


@dataclass
class Inputs:
    """Whatever exists of the reports and models; folders: where each was found, by its name."""

    ingest: IngestReport | None = None
    restorer: RestorerReport | None = None
    restorer_model: ModelFolder | None = None
    generator: StageReport | None = None
    export: StageReport | None = None
    synthetic: StageReport | None = None
    generator_model: ModelFolder | None = None
    folders: dict[str, Path] = field(default_factory=dict)


def read_inputs(folders: Iterable[Path]) -> Inputs:
    """Read every known report in `folders` or directly below them.

    Raises ValueError where there is none, one comes twice, or one can't be read.
    """
    asked = list(folders)
    inputs = Inputs()
    for folder in _candidates(asked):
        for name, (sign, read) in READERS.items():
            if sign(folder):
                if getattr(inputs, name) is not None:
                    raise ValueError(f"{folder}: a second {name} report; give the page one of each")
                setattr(inputs, name, read(folder))
                inputs.folders[name] = folder
    if not inputs.folders:
        names = ", ".join(map(str, asked))
        raise ValueError(f"no reports in {names}; run the stages that write them (dvc repro)")
    return inputs


def _candidates(folders: Iterable[Path]) -> list[Path]:
    """Return each folder, or those right below it where it holds no report itself."""
    signs = [sign for sign, _ in READERS.values()]
    reports: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            continue
        own = any(sign(folder) for sign in signs)
        reports += [folder] if own else sorted(path for path in folder.iterdir() if path.is_dir())
    return list(dict.fromkeys(reports))


def _read_ingest(folder: Path) -> IngestReport:
    quarantine = pd.read_csv(folder / "quarantine.csv", dtype=str, keep_default_na=False)
    return IngestReport(
        _json(folder / "metrics.json"),
        _json(folder / "statistics.json"),
        list(zip(quarantine["source"], quarantine["reason"], strict=True)),
    )


def _read_restorer(folder: Path) -> RestorerReport:
    facts = _json(folder / "slices.json")
    gallery = folder / "gallery.json"
    return RestorerReport(
        dict(facts.get("model", {})),
        _json(folder / "metrics.json"),
        list(facts["slices"]),
        list(facts.get("notes", [])),
        str(facts.get("extractor", "")),
        _json(gallery) if gallery.is_file() else [],
        folder / "gallery",
        str(facts.get("doubt", "")),
    )


def _model(card: str) -> Callable[[Path], ModelFolder]:
    def read(folder: Path) -> ModelFolder:
        history = folder / "history.csv"
        return ModelFolder(
            _json(folder / card),
            pd.read_csv(history) if history.is_file() else None,
            sorted((folder / "samples").glob("*.png")),
        )

    return read


def _mint(gallery: str, pictures: str, *facts: str) -> Callable[[Path], StageReport]:
    def read(folder: Path) -> StageReport:
        return StageReport(
            _json(folder / "metrics.json"),
            {name: _json(folder / f"{name}.json") for name in facts},
            _json(folder / f"{gallery}.json"),
            folder / pictures,
        )

    return read


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON ({error}); run its stage again") from None


def _holds(name: str) -> Callable[[Path], bool]:
    return lambda folder: (folder / name).is_file()


def _figures(spaces: bool) -> Callable[[Path], bool]:
    """Tell the generator's evaluation, whose figures.json has a row a space, from the export's."""
    file = "figures.json"
    return lambda folder: (folder / file).is_file() and ("rows" in _json(folder / file)) == spaces


READERS: dict[str, tuple[Callable[[Path], bool], Callable[[Path], Any]]] = {
    "ingest": (_holds("quarantine.csv"), _read_ingest),
    "restorer": (_holds("slices.json"), _read_restorer),
    "restorer_model": (_holds("restorer.json"), _model("restorer.json")),
    "generator": (_figures(True), _mint("gallery", "gallery", "figures")),
    "export": (_figures(False), _mint("gallery", "gallery", "figures")),
    "synthetic": (_holds("utility.json"), _mint("copies", "copies", "utility", "copycheck")),
    "generator_model": (_holds("generator.json"), _model("generator.json")),
}
