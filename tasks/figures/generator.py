"""The report of evaluate_generator on disk: metrics and pictures."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from remint.classifier.train import Classifier
from remint.generator_evaluation.classes import ClassSample
from remint.generator_evaluation.features import ClassifierExtractor
from remint.generator_evaluation.pictures import Picture, Shown, pictures, pictures_by_confidence
from remint.generator_evaluation.scoring import EvaluateGeneratorConfig, Mint, Reals, Row
from remint.images.imagefile import encode_png
from remint.metrics.features import Extractor
from tasks.stage import stage

# figure of a space's row -> its name among the metrics, the space's name put in
SET_FIGURES = {
    "kid": "kid_{}",
    "kid_se": "kid_{}_se",
    "kid_floor": "kid_{}_floor",
    "fd": "fd_{}",
    "fd_floor": "fd_{}_floor",
    "images": "images_{}",
}
TIMED = 256  # images minted to tell how long one takes
NEIGHBOUR_FIGURES = ("precision", "recall", "density", "coverage")


@dataclass(frozen=True)
class Yardstick:
    """The spaces in which everything is measured. classifier: None for a set of one class."""

    spaces: list[Extractor]
    classifier: Classifier | None
    accuracy: float | None
    notes: list[str]


@dataclass(frozen=True)
class Measured:
    """One generator's figures: a row a space, a row a class."""

    rows: list[Row]
    classes: list[Row] = field(default_factory=list)
    samples: list[ClassSample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def flat_metrics(measured: Measured, yardstick: Yardstick) -> dict[str, float]:
    """Return the figures that are compared from run to run, as DVC wants them."""
    metrics: dict[str, float] = {}
    for row in measured.rows:
        named = {name.format(row["space"]): key for key, name in SET_FIGURES.items()}
        metrics |= {name: float(row[key]) for name, key in named.items() if key in row}
    headline = headline_row(measured.rows)
    metrics |= {name: headline[name] for name in NEIGHBOUR_FIGURES if name in headline}
    metrics["images"] = float(headline["images"])
    metrics |= class_means(measured.classes)
    if yardstick.accuracy is not None:
        metrics["class_accuracy_real"] = yardstick.accuracy
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def network_calls(network: Mapping[str, Any]) -> int:
    """Return how often the networks of a card's `network` are called for an image."""
    steps: int = network.get("steps", 1)
    if network.get("name") == "adversarial_flow":
        return steps
    if network.get("name") != "flow":
        return 1
    calls = steps if network.get("solver") == "adams" else 2 * steps - 1
    return calls if network["guidance"] == 1.0 else 2 * calls


def images_a_second(mint: Mint) -> float:
    """Return how many images a second are minted: a figure of this machine, and of this hour."""
    labels = np.arange(TIMED) % max(1, len(mint.class_names))
    began = time.perf_counter()
    mint.mint(labels, np.arange(TIMED))
    return TIMED / (time.perf_counter() - began)


def class_means(classes: Sequence[Row]) -> dict[str, float]:
    """Return the means over classes, so that a rare one counts as much as a common one."""
    if not classes:
        return {}
    accuracies = [row["accuracy"] for row in classes]
    return {
        "class_accuracy": float(np.mean(accuracies)),
        "class_accuracy_worst": min(accuracies),
        "class_confidence": float(np.mean([row["confidence"] for row in classes])),
    }


def headline_row(rows: Sequence[Row]) -> Row:
    """Return the row that precision, recall, density and coverage are taken from."""
    return next((row for row in rows if row["space"] == ClassifierExtractor.name), rows[0])


def sheets(
    config: EvaluateGeneratorConfig,
    mint: Mint,
    reals: Reals,
    yardstick: Yardstick,
    measured: Measured,
) -> Iterator[Picture]:
    """Yield every picture of the report."""
    shown = Shown(mint, config.gallery, config.seed)
    space = ClassifierExtractor(yardstick.classifier) if yardstick.classifier else None
    yield from pictures(shown, reals, space, config.search_images)
    if measured.samples:
        yield from pictures_by_confidence(shown, measured.samples)


def write_gallery(folder: Path, found: Iterable[Picture]) -> np.ndarray:
    """Write gallery/*.png and gallery.json; return the first picture, the samples."""
    (folder / "gallery").mkdir()
    entries, first = [], None
    for picture in found:
        file = f"{picture.name}.png"
        (folder / "gallery" / file).write_bytes(encode_png(picture.image))
        facts = {"group": picture.group, "title": picture.title, "file": file}
        entries.append({**facts, "rows": picture.rows})
        first = picture.image if first is None else first
    stage.write_json(folder / "gallery.json", entries)
    assert first is not None, "a report without samples"
    return first
