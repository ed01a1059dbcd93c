"""Pairs of clean and damaged images: fixed ones to measure by, drawn ones to train on."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from more_itertools import constrained_batches

from remint.core.randomness import generator
from remint.corruptions.composition import Step, compose, one_of
from remint.corruptions.config import CorruptConfig, EvaluateConfig, TrainingConfig
from remint.corruptions.drawing import Recipe, Shape
from remint.corruptions.registry import Corrupted, corrupt, replay
from remint.images import passing
from remint.images.imageset import IMAGE, SPLITS, ImageSet, Record

__all__ = [
    "FIELDS",
    "CorruptConfig",
    "EvaluateConfig",
    "TrainingConfig",
    "corrupted_records",
    "draw_evaluation",
    "draw_training",
    "draw_training_recipe",
    "planned_parts",
    "planned_rows",
    "set_metadata",
    "training_config",
    "training_spec",
    "work_of",
]
FIELDS = (
    pa.field("clean_id", pa.string()),
    pa.field("kind", pa.string()),
    pa.field("severity", pa.int32()),
    pa.field("recipe", pa.string()),
    pa.field("mask", IMAGE),
)
PARTS = 64  # of a set whose parts are between these two in size, in bytes of pixels
LEAST_PART = 4 * 2**20
LARGEST_PART = 256 * 2**20
PART_ROWS = 2**16


def training_spec(config: TrainingConfig) -> dict[str, Any]:
    """Return the configuration as JSON-able data for the set's metadata."""
    return json.loads(json.dumps(asdict(config)))


def training_config(spec: Mapping[str, Any]) -> TrainingConfig:
    """Return the configuration that `training_spec` stored."""
    steps = (
        Step(step["kind"], (step["severity"][0], step["severity"][1]), step["probability"])
        for step in spec["steps"]
    )
    return TrainingConfig(**{**spec, "steps": tuple(steps)})


def draw_training_recipe(
    shape: Shape, clean_id: str, config: TrainingConfig, seed: int, draw: int
) -> Recipe:
    """Draw how a clean image of (height, width, channels) is damaged for training.

    Pure: the same id, seed and draw give the same recipe, stored or on the fly, in any order.
    """
    stream = generator(seed, "corrupt.train", clean_id, draw)
    chance = stream.random() - config.clean_share
    if chance < 0 or not config.steps:
        return []
    return (one_of if chance < config.single_share else compose)(shape, config.steps, stream)


def draw_training(
    image: np.ndarray, clean_id: str, config: TrainingConfig, seed: int, draw: int
) -> Corrupted:
    """Damage whole uint8 HWC pixels by `draw_training_recipe`."""
    return replay(image, draw_training_recipe(image.shape, clean_id, config, seed, draw))


def draw_evaluation(
    image: np.ndarray, clean_id: str, kind: str, severity: int, seed: int
) -> Corrupted:
    """Damage uint8 HWC pixels by one kind, or by none for "clean"; pure like `draw_training`."""
    if kind == "clean":
        return replay(image, [])
    return corrupt(
        image, kind, severity, generator(seed, "corrupt", f"{clean_id}.{kind}.{severity}")
    )


class Row(NamedTuple):
    """One row to be made: the clean row's number, and what becomes of it."""

    position: int
    kind: str
    severity: int
    draw: int


def planned_rows(clean: ImageSet, config: CorruptConfig) -> Iterator[Row]:
    """Yield all rows of the corrupted set in their order: by split, then as the clean set lies.

    A clean set of pairs gives, for each image with a `damaged` half, one row of kind "real" first.
    Raises ValueError when there is nothing to train on or to measure by.
    """
    _check(config, "damaged" in clean.schema.names)
    frame = clean.frame()
    paired = "damaged" in clean.schema.names
    for split in SPLITS:
        part = frame[frame["split"] == split]
        drawn = _kinds_drawn(config, split)
        chosen = _chosen(part, None if split == "train" else config.evaluate.per_slice(split))
        for position in part["position"].tolist():
            if paired:
                yield Row(position, "real", 0, 0)
            if position in chosen:
                yield from (Row(position, *what) for what in drawn)


def _kinds_drawn(config: CorruptConfig, split: str) -> list[tuple[str, int, int]]:
    if split != "train":
        return [(kind, severity, 0) for kind, severity in config.evaluate.slices(split)]
    return [
        ("mixed", 0, draw) for draw in range(config.training.draws if config.training.steps else 0)
    ]


def _chosen(part: pd.DataFrame, count: int | None) -> set[int]:
    """Choose `count` positions by the hash of their ids: a growing set keeps most."""
    ranked = sorted(zip(part["id"], part["position"], strict=True), key=lambda row: _rank(row[0]))
    return {int(position) for _, position in ranked[:count]}


def _rank(clean_id: str) -> str:
    return hashlib.blake2b(f"slice {clean_id}".encode(), digest_size=16).hexdigest()


def corrupted_records(
    clean: ImageSet, config: CorruptConfig, rows: Iterable[Row]
) -> Iterator[Record]:
    """Yield the rows of the corrupted set that were planned; the same ones, whoever makes them.

    Raises ValueError when the halves of a real pair differ in shape.
    """
    for position, group in groupby(rows, key=lambda row: row.position):
        source, image = clean.at(position)
        for row in group:
            corrupted = _made(row, source, image, config)
            if corrupted is not None:
                yield _record(row, source, corrupted)


def planned_parts(clean: ImageSet, config: CorruptConfig) -> Iterator[tuple[Row, ...]]:
    """Yield the rows of the corrupted set part by part: one file of it and one task each.

    At most 64 parts of 4 MiB of pixels or more, of a large set more of 256 MiB; how it is cut
    depends on the clean set and config alone.
    """
    sizes = _pixel_bytes(clean)
    total = sum(int(sizes[row.position]) for row in planned_rows(clean, config))
    limit = min(max(total // PARTS, LEAST_PART), LARGEST_PART)
    rows = planned_rows(clean, config)
    yield from constrained_batches(
        rows, limit, PART_ROWS, get_len=lambda row: int(sizes[row.position]), strict=False
    )


def _check(config: CorruptConfig, paired: bool) -> None:
    if paired and config.training.steps and config.training.draws == 0:
        raise ValueError(
            "training.draws is 0 and the set holds real pairs: they are stored, not drawn; set "
            "draws to 1 or more to mix drawn damage in, or steps to [] for the real pairs alone."
        )
    if not config.training.steps and not paired:
        raise ValueError(
            "training.steps is empty and the clean set holds no real pairs, so there is nothing to "
            "train on; add steps, or ingest pairs."
        )
    if not config.evaluate.slices("test") and not paired:
        raise ValueError(
            "evaluate.kinds is empty, evaluate.clean is false and the clean set holds no real "
            "pairs, so there is nothing to measure by; name kinds, or ingest pairs."
        )


def _pixel_bytes(clean: ImageSet) -> np.ndarray:
    frame = clean.frame()
    return (frame["height"] * frame["width"] * frame["channels"]).to_numpy(np.int64)


def _made(
    row: Row, source: Mapping[str, Any], image: np.ndarray, config: CorruptConfig
) -> Corrupted | None:
    if row.kind == "mixed":
        return draw_training(image, source["id"], config.training, config.seed, row.draw)
    if row.kind != "real":
        return draw_evaluation(image, source["id"], row.kind, row.severity, config.seed)
    damaged = source["damaged"]
    if damaged is not None and damaged.shape != image.shape:
        raise ValueError(
            f"The damaged half of {source['source']} has shape {damaged.shape}, its clean half "
            f"{image.shape}; ingest pairs of one size and colour mode."
        )
    return None if damaged is None else Corrupted(damaged, [], None)


def _record(row: Row, source: Mapping[str, Any], corrupted: Corrupted) -> Record:
    whole = row.kind == "mixed" and not corrupted.recipe
    kind = "clean" if whole else row.kind
    extra = {
        "clean_id": source["id"],
        "kind": kind,
        "severity": row.severity,
        "recipe": json.dumps(corrupted.recipe, separators=(",", ":")),
        "mask": corrupted.mask,
    }
    name = f"{source['id']}.{kind}.{row.severity}.{row.draw}"
    return Record(name, corrupted.image, source["split"], source["source"], source["label"], extra)


def set_metadata(clean: ImageSet, config: CorruptConfig) -> dict[str, Any]:
    """Return the corrupted set's metadata: what training needs to draw on the fly, and whence."""
    return {
        "class_names": clean.class_names,
        "channels": clean.metadata["channels"],
        "clean_fingerprint": clean.fingerprint,
        "seed": config.seed,
        "training": training_spec(config.training),
    }


def work_of(clean: ImageSet, config: CorruptConfig) -> str:
    """Return the fingerprint of all that decides the corrupted set: not who makes it."""
    decides = {k: v for k, v in asdict(config).items() if k not in ("workers", "engine")}
    return passing.work_of([clean.fingerprint, decides], ["remint.corruptions"])
