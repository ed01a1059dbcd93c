"""The dear half of an ingest, part by part: stretches of items made ready, each written once.

A part's name follows from its items as they are found: where they lie, their size and times, or
their pixels. Its folder's follows from the settings and the code. So an interrupted ingest goes on
after the parts that are there, and what has changed meanwhile is under no name that is asked for.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from remint.core.stores import Place
from remint.core.workers import packed
from remint.images import passing
from remint.images.imageset import EncodedRecord, pixel_id
from remint.images.passing import Told, image_bytes, made_part, read_rows
from remint.ingest.config import IngestConfig
from remint.ingest.items import Item, Source
from remint.ingest.preparing import Prepared
from remint.ingest.scenes import Match

PARTS = 64  # of a source whose parts are between these two, in items
LEAST_PART = 8
LARGEST_PART = 256
PART_BYTES = 64 * 2**20  # of files; of pixels in hand a 32nd, since they wait in memory
SETTINGS_OF_THE_WHOLE = ("path", "workers", "engine", "shard_megabytes", "max_bad_share")
LIBRARIES = ("scikit-image", "scikit-learn")  # whose photographs and regression are used


@dataclass(frozen=True)
class Part:
    """Some items, one after the other; in_hand: bytes of their pixels that are not in files."""

    name: str
    items: list[Item]
    in_hand: int


class Stamped(NamedTuple):
    """An item as it is found now; stamp: differs where its pixels, or words on it, may differ."""

    item: Item
    stamp: str
    in_files: int
    in_hand: int

    @property
    def weight(self) -> int:
        """Bytes as `PART_BYTES` counts them."""
        return self.in_files + 32 * self.in_hand


def planned_parts(source: Source) -> Iterator[Part]:
    """Yield the items of a source part by part; how they are cut depends on the source alone."""
    size = min(max(source.count // PARTS, LEAST_PART), LARGEST_PART)
    stamped = map(_stamped, source.items())
    for number, pack in enumerate(packed(stamped, size, PART_BYTES, lambda one: one.weight)):
        stamps = [str(number), *(one.stamp for one in pack)]  # numbered: equal stretches are two
        digest = blake2b("\n".join(stamps).encode(), digest_size=16)
        in_hand = sum(one.in_hand for one in pack)
        yield Part(digest.hexdigest(), [one.item for one in pack], in_hand)


def _stamped(item: Item) -> Stamped:
    words = item.label, item.group, item.split, item.own_test, item.problem
    images = [image for image in (item.image, item.damaged) if image is not None]
    found, sizes = zip(*map(_found, images), strict=True)
    stamp = repr((item.source, *words, *found))
    files, pixels = (0, sizes[0]) if isinstance(item.image, np.ndarray) else (sum(sizes), 0)
    return Stamped(item, stamp, files, pixels)


def _found(image: Path | np.ndarray | partial[np.ndarray]) -> tuple[Any, int]:
    """Return what tells an image from every other, without reading its file; and its bytes."""
    if isinstance(image, np.ndarray):
        return pixel_id(image), image.nbytes
    if isinstance(image, partial):
        return (image.func.__module__, image.func.__qualname__, image.args, image.keywords), 0
    try:
        status = os.stat(image)
    except (OSError, ValueError) as error:  # not there, or no path at all: it can't be read
        return (str(image), repr(error)), 0
    # the time of the last change of rights or content tells what keeps its size and date
    times = status.st_mtime_ns, status.st_ctime_ns
    return (str(image), status.st_size, *times), status.st_size


def work_of(config: IngestConfig, channels: int, paired: bool) -> str:
    """Return the fingerprint of all but the items that decides what is made of them."""
    decides = {k: v for k, v in asdict(config).items() if k not in SETTINGS_OF_THE_WHOLE}
    given = [decides, channels, paired, _heif()]
    return passing.work_of(given, ["remint.ingest"], LIBRARIES)


def _heif() -> str:
    try:
        return version("pillow-heif")
    except PackageNotFoundError:
        return "none"


@dataclass(frozen=True)
class ItemPartMaker:
    """A task: the items of a part, made ready by `prepare`, become a file in `folder`.

    columns: of the rows of the set.
    """

    folder: Place
    columns: pa.Schema
    prepare: Callable[[Item], Prepared]

    def __call__(self, part: Part) -> Place:
        """Make the part where it is not there yet, or not right; return its file."""

        def right(rows: Iterator[Told]) -> bool:
            made = zip(rows, part.items, strict=True)
            return all(one["source"] == item.source and not one["passing"] for one, item in made)

        return made_part(
            self.folder / f"{part.name}.parquet",
            part_schema(self.columns),
            right,
            lambda: (_told(self.prepare(item)) for item in part.items),
            lambda one: sum(map(image_bytes, one["rows"])),
        )


def part_schema(columns: pa.Schema) -> pa.Schema:
    """Return the schema of a part's file: a `Prepared` a row, its rows of these columns."""
    match = [pa.field("correlation", pa.float64()), pa.field("shift", pa.list_(pa.int32()))]
    return pa.schema(
        [
            pa.field("source", pa.string()),
            pa.field("label", pa.int32()),
            pa.field("fixed", pa.bool_()),
            pa.field("own_test", pa.bool_()),
            pa.field("rows", pa.list_(pa.struct(list(columns)))),
            pa.field("sums", pa.list_(pa.list_(pa.float64()))),
            pa.field("size", pa.list_(pa.int32())),
            pa.field("picture", pa.string()),
            pa.field("match", pa.struct(match)),
            pa.field("thumbnail", pa.binary()),
            pa.field("problem", pa.string()),
            pa.field("small", pa.bool_()),
            pa.field("passing", pa.bool_()),
        ]
    )


def read_part(path: Place) -> Iterator[Prepared]:
    """Yield what became of the items of a part, in order; see `read_rows`."""
    return map(_prepared, read_rows(path))


def _told(one: Prepared) -> dict[str, Any]:
    return {
        **vars(one),
        "rows": [record.row for record in one.rows],
        "sums": [sums.ravel() for sums in one.sums],
        "match": one.match and vars(one.match),
    }


def _prepared(told: dict[str, Any]) -> Prepared:
    match = told["match"]
    again = {
        "rows": tuple(map(EncodedRecord, told["rows"])),
        "sums": tuple(np.array(sums).reshape(2, -1) for sums in told["sums"]),
        "size": tuple(told["size"]),
        "match": match and Match(match["correlation"], tuple(match["shift"])),
    }
    return Prepared(**{**told, **again})
