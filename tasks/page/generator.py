"""Sections of the page about minted images: samples, figures, usefulness, copies, the export."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.page.arm_chart import charts
from tasks.page.inputs import Inputs, StageReport
from tasks.page.parts import Builder, ReportConfig, Section
from tasks.page.pictures import EmbeddedPicture, picture
from tasks.page.provenance import Provenance
from tasks.page.training import training_section
from tasks.page.words import words

SPACES = {
    "pixels": "pixels",
    "aligned": "aligned textures",
    "efflite0": "EfficientNet-Lite0",
    "inception": "Inception",
    "dinov2": "DINOv2",
    "classifier": "the set's own classifier",
}
# figure -> (heading, digits, factor); as many columns as any generator has figures
FIGURES = {
    "kid": ("KID x 1000", 2, 1000.0),
    "fd": ("FD", 2, 1.0),
    "precision": ("Precision", 3, 1.0),
    "recall": ("Recall", 3, 1.0),
    "density": ("Density", 3, 1.0),
    "coverage": ("Coverage", 3, 1.0),
}
GROUPS = {
    "interpolation": "From one image to another",
    "nearest": "Beside the nearest training images",
    "best": "Surest by the classifier",
    "worst": "Least sure by the classifier",
    "class": "More of each class",
}
Row = Mapping[str, Any]


def sample_sections(inputs: Inputs, provenance: Provenance, config: ReportConfig) -> list[Section]:
    """Return the pictures of evaluate_generator."""
    report = inputs.generator
    if report is None:
        return []
    shown = {name: _sheets(report, name, config) for name in ("samples", *GROUPS)}
    groups = {title: shown[name] for name, title in GROUPS.items() if shown[name]}
    data = {"samples": shown["samples"], "groups": groups}
    return [Section("minted", "Minted images", "mint_samples.html", data)]


def figure_sections(inputs: Inputs, provenance: Provenance, config: ReportConfig) -> list[Section]:
    """Return the table of figures: this generator's in every space, and those beside it."""
    report = inputs.generator
    if report is None:
        return []
    figures = report.facts["figures"]
    models = [{**figures["model"], "rows": figures["rows"]}, *figures.get("beside", [])]
    data = {
        "columns": columns(model["rows"] for model in models),
        "models": models,
        "spaces": SPACES,
        "classes": figures["classes"],
        "notes": figures["notes"],
    }
    return [Section("mint-figures", "How near to real images", "mint_figures.html", data)]


def columns(tables: Iterable[Sequence[Row]]) -> dict[str, tuple[str, int, float]]:
    """Return those of FIGURES that any row has."""
    rows = [row for table in tables for row in table]
    return {name: shown for name, shown in FIGURES.items() if any(name in row for row in rows)}


def usefulness_sections(
    inputs: Inputs, provenance: Provenance, config: ReportConfig
) -> list[Section]:
    """Return the chart of usefulness with its verdicts and controls."""
    report = inputs.synthetic
    if report is None:
        return []
    utility = report.facts["utility"]
    data = {"classes": [], **utility, "charts": charts(utility["arms"])}
    return [Section("usefulness", "Do they help a classifier?", "mint_usefulness.html", data)]


def copy_sections(inputs: Inputs, provenance: Provenance, config: ReportConfig) -> list[Section]:
    """Return the copy check: nearest pairs, distances in both spaces, the self-test."""
    report = inputs.synthetic
    if report is None:
        return []
    pairs = [(entry, _picture(report, entry["file"], config)) for entry in report.gallery]
    groups = {
        title: [pair for pair in pairs if pair[0]["group"] == group]
        for group, title in (
            ("synthetic", "The most copy-like minted images"),
            ("held_out", "For comparison: the most copy-like real held-out images"),
        )
    }
    named = {title: chosen for title, chosen in groups.items() if chosen}
    data = {**report.facts["copycheck"], "pairs": named, "spaces_named": SPACES}
    return [Section("copies", "Is any a copy?", "mint_copies.html", data)]


def export_sections(inputs: Inputs, provenance: Provenance, config: ReportConfig) -> list[Section]:
    """Return what was exported, what was rejected and why, and which classes are missing."""
    report = inputs.export
    if report is None:
        return []
    figures = report.facts["figures"]
    sheets = [(entry, _picture(report, entry["file"], config)) for entry in report.gallery]
    data = {
        "metrics": report.metrics,
        "classes": figures["classes"],
        "filters": {name: words(name) for name in figures["filters"]},
        "failures": figures["failures"],
        "sheets": sheets,
        "notes": figures["notes"],
    }
    return [Section("export", "What was exported", "mint_export.html", data)]


def training_sections(
    inputs: Inputs, provenance: Provenance, config: ReportConfig
) -> list[Section]:
    """Return the learning curves of the generator."""
    return training_section(
        inputs.generator_model,
        config,
        "mint-training",
        "How the generator was trained",
        "The same noise during training, a row a class",
    )


def _sheets(
    report: StageReport, group: str, config: ReportConfig
) -> list[tuple[Row, EmbeddedPicture]]:
    return [
        (entry, _picture(report, entry["file"], config))
        for entry in report.gallery
        if entry["group"] == group
    ]


def _picture(report: StageReport, file: str, config: ReportConfig) -> EmbeddedPicture:
    """Return a sheet: many images side by side may be twice as large as one."""
    return picture(report.pictures / Path(file), 2 * config.picture_pixels)


BUILDERS: tuple[Builder, ...] = (
    sample_sections,
    usefulness_sections,
    copy_sections,
    figure_sections,
    export_sections,
    training_sections,
)
