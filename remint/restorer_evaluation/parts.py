"""Pairs restored and measured part by part: an evaluation that was killed goes on after them.

A part is some batches of the split, one after the other, cut as a run in one go would cut them; so
its images and figures are the same, bit for bit, whichever run makes it.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import pyarrow as pa

from remint.core.device import computed_on
from remint.core.stores import Place
from remint.core.workers import packed
from remint.images import passing
from remint.images.imageset import EncodedRecord, ImageSet, Record, encode
from remint.images.passing import Told, image_bytes, made_part, read_rows
from remint.restorer.restorer import Restorer
from remint.restorer_evaluation.evaluation import EvaluateRestorerConfig, Row, restored_at_once

PART_ROWS = 256
PART_BYTES = 4 * 2**20  # of pixels
SETTINGS_OF_THE_REPORT = ("seed", "resamples", "confidence", "gallery", "features")
ROOMS = tuple(
    f"remint.{room}" for room in ("restorer_evaluation", "restorer", "metrics", "networks")
)


@dataclass(frozen=True)
class Part:
    """Rows of the corrupted set, one after the other: their numbers and their ids."""

    name: str
    positions: list[int]
    ids: list[str]


def planned_parts(corrupted: ImageSet, config: EvaluateRestorerConfig) -> Iterator[Part]:
    """Yield the rows of the split part by part: whole batches of 256 rows or 4 MiB of pixels.

    Images larger than a tile are restored one by one, and so may be alone in a part.
    """
    frame = corrupted.frame(config.split)[["position", "id", "height", "width", "channels"]]
    rows = frame.itertuples(index=False, name=None)
    batches = restored_at_once(rows, config, lambda row: row[2:])
    for number, pack in enumerate(packed(batches, PART_ROWS, PART_BYTES, _weight)):
        positions, ids = zip(*((row[0], row[1]) for batch in pack for row in batch), strict=True)
        yield Part(f"{number:05d}", list(positions), list(ids))


def _weight(batch: list[tuple[Any, ...]]) -> int:
    _, _, height, width, channels = batch[0]
    return len(batch) * max(height * width * channels, PART_BYTES // PART_ROWS)


def work_of(
    restorer: Restorer,
    clean: ImageSet,
    corrupted: ImageSet,
    config: EvaluateRestorerConfig,
    measured: tuple[bool, bool],
) -> str:
    """Return the fingerprint of all that decides the restored images and their figures.

    measured: whether LPIPS is, and whether the map of doubt.
    """
    decides = {k: v for k, v in asdict(config).items() if k not in SETTINGS_OF_THE_REPORT}
    model = [restorer.fingerprint, restorer.interpolation, dict(restorer.card)]
    given = [decides, model, clean.fingerprint, corrupted.fingerprint, measured]
    lpips = ["lpips", version("lpips")] if measured[0] else []
    return passing.work_of([*given, lpips, computed_on(restorer.device)], ROOMS, ["torch"])


@dataclass(frozen=True)
class PairPartMaker:
    """A task: rows of the corrupted set, restored and measured, become a file in `folder`.

    columns: of the rows of the restored set; measure: takes the numbers of rows.
    """

    folder: Place
    columns: pa.Schema
    measure: Callable[[Iterable[int]], Iterable[tuple[Record, Row]]]

    def __call__(self, part: Part) -> Place:
        """Make the part where it is not there yet, or not right; return its file."""
        record = pa.field("record", pa.struct(list(self.columns)))
        return made_part(
            self.folder / f"{part.name}.parquet",
            pa.schema([record, pa.field("figures", pa.string())]),
            lambda rows: [row["record"]["id"] for row in rows] == part.ids,
            lambda: map(_told, self.measure(part.positions)),
            lambda row: image_bytes(row["record"]),
        )


def read_part(path: Place) -> Iterator[tuple[EncodedRecord, Row]]:
    """Yield the restored images of a part, ready to be written, with their figures, in order.

    See `read_rows`.
    """
    for row in read_rows(path):
        yield EncodedRecord(row["record"]), json.loads(row["figures"])


def _told(pair: tuple[Record, Row]) -> Told:
    record, row = pair
    return {"record": encode(record).row, "figures": json.dumps(row)}
