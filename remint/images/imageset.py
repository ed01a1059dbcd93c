"""Image sets: a folder of Parquet shards, one row an image, pixels and provenance together.

The folder lies on disk, or in an S3 store where its address is written `s3://bucket/folder`.

The image columns follow the Hugging Face `Image` layout (struct of encoded bytes and path), so
pandas, DuckDB, Ray and `datasets` read a set as it is. Names of image columns carry a meaning: a
column called `mask`, or ending in `_mask`, holds HW masks; every other one holds HWC images.
"""

import hashlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from remint.core.stores import Place, StorePath, located, reached, readable
from remint.images.imagefile import decode_stored
from remint.images.imagerows import (
    IMAGE,
    SCHEMA_VERSION,
    SPLITS,
    EncodedRecord,
    ImageSetError,
    Record,
    encode,
    image_columns,
    is_mask,
    pixel_id,
    row_groups,
    set_schema,
)
from remint.images.shards import (
    ShardWriter,
    check_columns,
    check_counts,
    explained,
    footer_of,
    metadata_of,
    shard_name,
    shards_of,
    write_counts,
)
from remint.images.stored import COUNTS_FILE, replaced_set

__all__ = [
    "COUNTS_FILE",
    "IMAGE",
    "SCHEMA_VERSION",
    "SPLITS",
    "EncodedRecord",
    "ImageSet",
    "ImageSetError",
    "Record",
    "encode",
    "is_mask",
    "pixel_id",
    "resplit",
    "some_rows",
    "write",
]
CACHED_GROUPS = 16


def write(
    path: Place | str,
    records: Iterable[Record | EncodedRecord],
    *,
    metadata: Mapping[str, Any],
    extra_fields: Sequence[pa.Field] = (),
    shard_bytes: int = 256 * 2**20,
    settle: Callable[[Place], None] = lambda _: None,
) -> int:
    """Write `records` as the set at `path`, in their order, and return the number of rows.

    The set appears, in place of an older one, only when the last row is written; memory holds one
    row group. metadata: JSON-able; comes back as `ImageSet.metadata` with "schema_version"; settle:
    called with the whole set's hidden folder before it appears, unless this raises.
    Raises ImageSetError for a record whose pixels, split or extra values do not fit,
    StoreError for a store that is not reached or refuses.
    """
    schema = set_schema(metadata, extra_fields)
    with replaced_set(located(path)) as folder:
        rows, shard, part = 0, 0, None
        try:
            for group in row_groups(schema, records):
                if part is None or part.written >= shard_bytes:
                    _close(part)
                    part, shard = ShardWriter(folder / shard_name(shard), schema), shard + 1
                part.add(group)
                rows += group.num_rows
            part = part or ShardWriter(folder / shard_name(0), schema)
        finally:
            _close(part)
        write_counts(folder, max(1, shard), rows)
        settle(folder)
    return rows


def resplit(path: Place, splits: Mapping[int, str]) -> None:
    """Give rows of a set that nobody reads yet, by number, these splits; all else stays."""
    moved = np.array(sorted(splits), np.int64)
    start = 0
    for shard in shards_of(path):
        fresh = shard.with_suffix(".fresh")
        with (
            pq.ParquetFile(readable(shard)) as file,
            closing(ShardWriter(fresh, file.schema_arrow)) as part,
        ):
            for number in range(file.num_row_groups):
                group = file.read_row_group(number)
                given = group["split"].to_pylist()
                low, high = np.searchsorted(moved, [start, start + len(given)])
                for row in moved[low:high].tolist():
                    given[row - start] = splits[row]
                column = group.schema.get_field_index("split")
                part.add(group.set_column(column, "split", pa.array(given, pa.string())))
                start += group.num_rows
        fresh.replace(shard)  # type: ignore[arg-type]  # of one kind


def some_rows(
    path: Place, positions: np.ndarray, columns: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Yield (position, value of each column) of some rows of a set; positions: int [N], rising."""
    start = 0
    for shard in shards_of(path):
        with (
            explained(shard),
            pq.ParquetFile(readable(shard), page_checksum_verification=True) as file,
        ):
            for number in range(file.num_row_groups):
                stop = start + file.metadata.row_group(number).num_rows
                low, high = np.searchsorted(positions, [start, stop])
                if low < high:
                    wanted = positions[low:high]
                    group = file.read_row_group(number, columns=list(columns), use_threads=False)
                    values = group.take(pa.array(wanted - start)).select(columns).to_pydict()
                    yield from zip(wanted.tolist(), *values.values(), strict=True)
                start = stop


def _close(part: ShardWriter | None) -> None:
    if part is not None:
        part.close()


class ImageSet:
    """An image set, read row by row; picklable, and safe to use in forked workers.

    metadata: as given to `write`, plus "schema_version". Raises ImageSetError where the set is
    absent, has missing or broken shards, or was written by a newer version, StoreError where its
    store is not reached or refuses.
    """

    def __init__(self, path: Place | str) -> None:
        self.path = located(path)
        self._shards = shards_of(self.path)
        self._footers = {n: footer_of(shard) for n, shard in enumerate(self._shards)}
        self.schema = self._footers[0].schema.to_arrow_schema()
        self.metadata = metadata_of(self.path, self.schema)
        check_columns(self.path, [f.schema.to_arrow_schema() for f in self._footers.values()])
        groups = [(s, g) for s, f in self._footers.items() for g in range(f.num_row_groups)]
        rows = [self._footers[s].row_group(g).num_rows for s, g in groups]
        self._groups = groups
        if self.metadata["schema_version"] >= 2:
            check_counts(self._shards[0].parent, len(self._shards), sum(rows))
        self._starts = list(accumulate(rows, initial=0))
        self._cache: OrderedDict[int, pa.Table] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._starts[-1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": OrderedDict(), "_footers": {}}

    @property
    def class_names(self) -> list[str]:
        """The names of the classes, by label; empty for a set without labels."""
        return list(self.metadata.get("class_names", []))

    @cached_property
    def fingerprint(self) -> str:
        """BLAKE2b-128 hex of the shards' bytes, in order; the same for the same content."""
        digest = hashlib.blake2b(digest_size=16)
        for shard in self._shards:
            with reached(shard), shard.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
        return digest.hexdigest()

    def frame(self, split: str | None = None) -> pd.DataFrame:
        """Return every column but the encoded pixels, plus "position", the row number in the set.

        "label" is pandas' nullable Int32, since it may be missing; other columns as pandas reads.
        """
        columns = [name for name in self.schema.names if name not in image_columns(self.schema)]
        with explained(self.path):
            parts = [
                pq.read_table(readable(shard), columns=columns, page_checksum_verification=True)
                for shard in self._shards
            ]
        table = pa.concat_tables(parts)
        frame = table.to_pandas().astype({"label": "Int32"})
        frame["position"] = np.arange(len(frame))
        return frame if split is None else frame[frame["split"] == split].reset_index(drop=True)

    def images(self, split: str | None = None) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Yield (row, uint8 HWC image) in the order of the set; memory holds one row group.

        row: every other column, "position", and the extra image columns decoded (HWC, HW for a
        mask, None where there is none).
        """
        for number, start in enumerate(self._starts[:-1]):
            if split is None or split in self._read(number, ["split"])["split"].to_pylist():
                table = self._read(number, None)
                for offset, name in enumerate(table["split"].to_pylist()):
                    if split in (None, name):
                        yield _decoded(table, offset, start + offset)

    def at(self, position: int) -> tuple[dict[str, Any], np.ndarray]:
        """Return (row, image) of one row number, as `images` does; raises IndexError outside."""
        if not 0 <= position < len(self):
            raise IndexError(f"row {position} of a set of {len(self)} rows")
        number = bisect_right(self._starts, position) - 1
        if number not in self._cache:
            self._cache[number] = self._read(number, None)
            if len(self._cache) > CACHED_GROUPS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(number)
        return _decoded(self._cache[number], position - self._starts[number], position)

    def _read(self, number: int, columns: list[str] | None) -> pa.Table:
        part, group = self._groups[number]
        shard = self._shards[part]
        if part not in self._footers:  # in a worker, which gets the set without its footers
            self._footers[part] = footer_of(shard)
        footer = self._footers[part]
        with (
            explained(shard),
            pq.ParquetFile(
                readable(shard),
                metadata=footer,
                page_checksum_verification=True,
                pre_buffer=isinstance(shard, StorePath),
            ) as file,
        ):
            return file.read_row_group(group, columns=columns, use_threads=False)


def _decoded(table: pa.Table, offset: int, position: int) -> tuple[dict[str, Any], np.ndarray]:
    row = table.slice(offset, 1).to_pylist()[0]
    for name in image_columns(table.schema):
        row[name] = _pixels(row[name], name)
    image = row.pop("image")
    return {**row, "position": position}, image


def _pixels(value: Mapping[str, Any] | None, column: str) -> np.ndarray | None:
    if value is None:
        return None
    image = decode_stored(value["bytes"])
    return image[:, :, 0] if is_mask(column) else image
