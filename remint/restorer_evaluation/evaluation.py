"""Evaluation of a restorer over the pairs of a corrupted set, as a stream: memory stays flat."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from annotated_types import Ge, Le

from remint.core.ranges import InnerShare, Resamples, Seed, Share
from remint.images.fitting import picture_of
from remint.images.imageset import ImageSet, Record
from remint.metrics.pixels import PairDistance
from remint.metrics.published import PublishedWeights
from remint.restorer.doubt import Doubt
from remint.restorer.ensemble import ensembled
from remint.restorer.tiling import (
    Network,
    Shape,
    check_tiles,
    of_one_shape,
    restore_batch,
    restore_image,
)
from remint.restorer_evaluation.classical import Damage, TunedMethod, method_for, tune
from remint.restorer_evaluation.coverage import coverage_of
from remint.restorer_evaluation.scoring import Answer, Figures, figures_of

A = TypeVar("A")
Row = dict[str, Any]
Slice = tuple[str, int]
RESTORED_FIELDS = (
    pa.field("clean_id", pa.string()),
    pa.field("kind", pa.string()),
    pa.field("severity", pa.int32()),
    pa.field("psnr", pa.float64()),
)


@dataclass(frozen=True)
class FeaturesConfig:
    """images: a side for the pooled distances; images_per_slice: for each slice, 0 for none.

    cache: folder of features of data that do not change (clean and damaged images).
    """

    images: Annotated[int, Ge(0), Le(10**7)]
    images_per_slice: Annotated[int, Ge(0), Le(10**7)]
    cache: str


@dataclass(frozen=True)
class EvaluateRestorerConfig:
    """What evaluate_restorer measures; the values stand in params.yaml.

    interpolation: 0 fidelity to 1 adversarial weights, None for the model's default. ensemble:
    every image is restored in its eight turns and flips, which the figures say. batch: images of
    one size at once, of no more pixels than a tile together. tile, overlap: px, for images larger
    than a tile; overlap None: what the model asks for. tuning_images: pairs a slice by which the
    classical method's strength is chosen, 0 for no classical rows. resamples, confidence: of the
    bootstrap intervals. gallery: images a group. published_weights: of LPIPS and FID, `present`
    where they lie on this disk alone, or `auto`, fetched once.
    """

    seed: Seed
    split: Literal["train", "val", "test"]
    device: Literal["auto", "cpu", "cuda"]
    interpolation: Share | None
    ensemble: bool
    batch: Annotated[int, Ge(1), Le(65_536)]
    tile: Annotated[int, Ge(1), Le(65_536)]
    overlap: Annotated[int, Ge(0), Le(32_768)] | None
    tuning_images: Annotated[int, Ge(0), Le(10**6)]
    resamples: Resamples
    confidence: InnerShare
    gallery: Annotated[int, Ge(1), Le(1000)]
    published_weights: PublishedWeights
    features: FeaturesConfig

    def __post_init__(self) -> None:
        check_tiles(self.tile, self.overlap or 0)


class Tiled(Network, Protocol):
    """A network that knows how far its tiles must overlap."""

    def overlap(self, tile: int, asked: int | None) -> int:
        """Return the px asked for, if None those that tiles of that side need."""
        ...


class Targets:
    """Clean images by id."""

    def __init__(self, clean: ImageSet) -> None:
        frame = clean.frame()
        self._clean = clean
        self._positions = dict(zip(frame["id"], frame["position"], strict=True))

    def __getitem__(self, clean_id: str) -> np.ndarray:
        if clean_id not in self._positions:
            raise ValueError(
                f"The clean image {clean_id} of a damaged one is not in the clean set; the two "
                "sets do not belong together: run corrupt again."
            )
        return self._clean.at(int(self._positions[clean_id]))[1]


def damage_of(row: Mapping[str, Any], image: np.ndarray) -> Damage:
    """Return image, recipe and mask of one row of a corrupted set."""
    return Damage(image, json.loads(row["recipe"]), row["mask"])


def tune_classical(
    corrupted: ImageSet,
    targets: Targets,
    config: EvaluateRestorerConfig,
    watch: Callable[[Sequence[Slice]], Iterable[Slice]] = iter,
) -> dict[Slice, TunedMethod]:
    """Return the tuned classical method of every slice of the split.

    Strengths are chosen on pairs of val where the slice has some there, else on the split's own,
    which flatters the classical row. watch: wraps the slices as they are done, to show progress.
    """
    tuned: dict[Slice, TunedMethod] = {}
    if not config.tuning_images:
        return tuned
    frame = corrupted.frame()
    wanted = frame[frame["split"] == config.split][["kind", "severity"]].drop_duplicates()
    for kind, severity in watch(list(wanted.itertuples(index=False, name=None))):
        rows = frame[(frame["kind"] == kind) & (frame["severity"] == severity)]
        tuning = rows[rows["split"] == "val"]
        tuning = tuning if len(tuning) else rows[rows["split"] == config.split]
        method = method_for(kind)
        if method is not None:
            pairs = [corrupted.at(int(p)) for p in tuning["position"].head(config.tuning_images)]
            sample = [(damage_of(row, image), targets[row["clean_id"]]) for row, image in pairs]
            tuned[kind, int(severity)] = tune(method, sample)
    return tuned


def restore_rows(
    restorer: Tiled, rows: Iterable[tuple[Row, np.ndarray]], config: EvaluateRestorerConfig
) -> Iterator[tuple[Row, np.ndarray, np.ndarray]]:
    """Yield (row, damaged, restored) in order; neighbours of one size share a batch."""
    network = ensembled(restorer, config.ensemble)
    for batch in restored_at_once(rows, config, lambda row: row[1].shape):
        images = np.stack([image for _, image in batch])
        if max(images.shape[1:3]) > config.tile:
            overlap = restorer.overlap(config.tile, config.overlap)
            outputs = restore_image(network, images[0], config.tile, overlap)[None]
        else:
            outputs = restore_batch(network, images)
        for (row, image), output in zip(batch, outputs, strict=True):
            yield row, image, output


def restored_at_once(
    rows: Iterable[A], config: EvaluateRestorerConfig, shape: Callable[[A], Shape]
) -> Iterator[list[A]]:
    """Group rows as they are restored: by the batch; one that is larger than a tile alone."""
    for batch in of_one_shape(rows, config.batch, config.tile**2, shape):
        height, width, _ = shape(batch[0])
        yield from [[row] for row in batch] if max(height, width) > config.tile else [batch]


def evaluate(
    restorer: Tiled,
    rows: Iterable[tuple[Row, np.ndarray]],
    targets: Targets,
    tuned: Mapping[Slice, TunedMethod],
    config: EvaluateRestorerConfig,
    lpips: PairDistance | None = None,
    doubt: Doubt | None = None,
) -> Iterator[tuple[Record, Row]]:
    """Yield, for every row of a corrupted set, the record of the restored image and its figures."""
    for row, image, output in restore_rows(restorer, rows, config):
        classical = tuned.get((row["kind"], row["severity"]))
        answer = Answer(
            image,
            output,
            targets[row["clean_id"]],
            classical(damage_of(row, image)) if classical else None,
            row["mask"],
        )
        figures = figures_of(answer, row["kind"], lpips)
        if doubt is not None:
            figures |= coverage_of(doubt, image, output, answer.target)
        yield _record(row, output, figures), _named(row, figures)


def _record(row: Row, output: np.ndarray, figures: Figures) -> Record:
    extra = {name: row[name] for name in ("clean_id", "kind", "severity")}
    extra["psnr"] = figures["psnr"]
    return Record(row["id"], output, row["split"], row["source"], row["label"], extra)


def _named(row: Row, figures: Figures) -> Row:
    names = ("id", "clean_id", "kind", "severity", "label")
    return {name: row[name] for name in names} | {"picture": picture_of(row["source"])} | figures
