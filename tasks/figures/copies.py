"""The copy check of evaluate_synthetic, run and written to disk: figures, pairs and pictures."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from remint.classifier.averaged import train_averaged
from remint.copies import planting
from remint.copies.copystudy import CopyStudy, Groups, Pair, some, verdict
from remint.core.device import pick_device
from remint.images.imagefile import encode_png
from remint.images.imageset import ImageSet
from remint.images.labelled import Labelled, read
from remint.images.sheets import sheet
from remint.metrics.features import EffLiteExtractor, cached_features
from remint.metrics.spaces import FeatureSpace, Space
from remint.metrics.suspects import pixel_spaces
from remint.utility.config import EvaluateSyntheticConfig
from tasks.stage import stage
from tasks.stage.console import say

CAVEATS = (
    "This is a check for copies, not a statement about privacy: it finds what its spaces see, "
    "and the self-test says how much that is.",
    "Half of the honest images may fail the authenticity test, and images more typical than real "
    "ones lie nearer to training images without being copies: read every figure beside that of the "
    "held-out real images.",
)


@dataclass(frozen=True)
class Copies:
    """facts: copycheck.json; metrics: for metrics.json; pairs: nearest first."""

    facts: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)


def check_copies(config: EvaluateSyntheticConfig, clean: ImageSet, minted: ImageSet) -> Copies:
    """Run the check; where there is too little to compare with, say so and nothing else."""
    say("copy check: looking for the nearest training images")
    try:
        groups = _groups(config, clean, minted)
        groups.check()
    except ValueError as error:
        facts: dict[str, Any] = {
            "verdict": f"Not checked. {error}",
            "notes": [str(error)],
            "suspects": {},
        }
        return Copies({**facts, "spaces": [], "selftest": []})
    spaces = open_spaces(config, clean, groups.training)
    study = CopyStudy(groups, spaces, config.copies.false_alarms)
    rows, suspects = study.space_rows(), study.suspects(config.utility.duplicate_rms)
    side = max(groups.training.images.shape[1:3])
    copies = config.copies
    kinds = planting.kinds(copies.noise, copies.shift / 2, copies.turn, side)
    selftest = study.selftest(copies.planted, kinds, config.seed)
    facts = {
        "verdict": verdict(suspects, selftest, rows),
        "notes": [*CAVEATS, *_notes(config, groups)],
        "spaces": rows,
        "suspects": suspects,
        "selftest": selftest,
    }
    return Copies(facts, _metrics(facts), study.pairs(copies.pairs))


def _groups(config: EvaluateSyntheticConfig, clean: ImageSet, minted: ImageSet) -> Groups:
    count, seed = config.copies.images, config.seed
    held = {name: some(read(clean, name), count, seed, name) for name in ("val", "test")}
    synthetic = some(read(minted), count, seed, "synthetic")
    groups = [read(clean, "train"), held["val"], held["test"], synthetic]
    if len(clean.class_names) < 2:  # one stratum, however an unlabelled image is marked
        groups = [replace(group, labels=np.zeros_like(group.labels)) for group in groups]
    return Groups(*groups)


def open_spaces(
    config: EvaluateSyntheticConfig, clean: ImageSet, training: Labelled
) -> list[Space]:
    """Return pixels, alignment, and features of the asked-for or the fitting network."""
    name = config.copies.features
    if name == "auto":
        name = "classifier" if len(clean.class_names) > 1 else "efflite0"
    extract = _classifier if name == "classifier" else _efflite
    features = FeatureSpace(name, *extract(config, clean, training))
    return [*pixel_spaces(training.images, config.copies.shift), features]


def _classifier(
    config: EvaluateSyntheticConfig, clean: ImageSet, training: Labelled
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Train on the training split, augmented: without that it knows its images too well."""
    classifier = train_averaged(
        training.images,
        training.labels,
        len(clean.class_names),
        config.utility.classifier,
        "classical",
        config.copies.steps,
        config.seed,
        str(pick_device(config.device)),
    )
    return classifier.features, classifier.features(training.images)


def _efflite(
    config: EvaluateSyntheticConfig, clean: ImageSet, training: Labelled
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    extractor = EffLiteExtractor(pick_device(config.device))
    cache, ids = Path(config.copies.cache), list(training.ids)
    known = cached_features(cache, extractor, clean.fingerprint, ids, lambda: training.images)
    return extractor, known


def _notes(config: EvaluateSyntheticConfig, groups: Groups) -> list[str]:
    sizes = [f"{len(g):,}" for g in (groups.training, groups.validation, groups.test)]
    return [
        f"{len(groups.synthetic):,} synthetic images against all {sizes[0]} training images; "
        f"thresholds from {sizes[1]} images of val (at most {config.copies.false_alarms:.1%} of "
        f"them suspected), false alarms counted on {sizes[2]} images of test.",
        "An export that drops near-duplicates of training images has been through one such filter "
        "already.",
    ]


def _metrics(facts: dict[str, Any]) -> dict[str, float]:
    suspects = facts["suspects"]
    figures = {
        "copy_suspected_share": suspects["suspected_share"],
        "copy_suspected_share_held_out": suspects["held_out_suspected_share"],
        "copy_suspected_p": suspects["p"],
        "copy_identical": suspects["identical"],
        "copy_identical_p": suspects["identical_p"],
    }
    for row in facts["spaces"]:
        figures[f"copy_z_{row['space']}"] = row["z"]
        figures[f"copy_authentic_{row['space']}"] = row["authentic_synthetic"]
        figures[f"copy_authentic_{row['space']}_held_out"] = row["authentic_held_out"]
    for row in facts["selftest"]:
        figures[f"copy_detected_{row['kind']}"] = row["detected_share"]
    return figures


def write_copies(folder: Path, copies: Copies) -> np.ndarray | None:
    """Write copycheck.json, copies.json and copies/*.png; return all synthetic pairs as a sheet."""
    (folder / "copies").mkdir()
    entries = []
    for number, pair in enumerate(copies.pairs):
        name = f"{pair.facts['group']}-{number:03d}.png"
        (folder / "copies" / name).write_bytes(encode_png(sheet([pair.pictures])))
        entries.append({**pair.facts, "file": name})
    stage.write_json(folder / "copycheck.json", copies.facts)
    stage.write_json(folder / "copies.json", entries)
    rows = [pair.pictures for pair in copies.pairs if pair.facts["group"] == "synthetic"]
    return sheet(rows) if rows else None
