"""The files of an image set: Parquet shards that belong together, and counts of them.

Every function raises ImageSetError with what is wrong and what to do, and StoreError where a
store is not reached or refuses.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from remint.core.stores import Place, StoreError, reached, readable, writable
from remint.images.imagerows import FIELDS, SCHEMA_VERSION, ImageSetError, image_columns
from remint.images.stored import COUNTS_FILE, SHARDS, current


def shard_name(number: int) -> str:
    """Return the name of a set's shard."""
    return f"part-{number:05d}.parquet"


class ShardWriter:
    """One shard being written; `written` counts its Arrow bytes so far."""

    def __init__(self, path: Place, schema: pa.Schema) -> None:
        plain = [leaf for leaf in _leaves(schema) if not leaf.endswith(".bytes")]
        packed = {leaf: "zstd" if leaf in plain else "none" for leaf in _leaves(schema)}
        self.written = 0
        where, filesystem = writable(path)
        self.writer = pq.ParquetWriter(
            where,
            schema,
            filesystem=filesystem,
            compression=packed,
            use_dictionary=plain,
            write_statistics=plain,
            write_page_checksum=True,
        )

    def add(self, group: pa.Table) -> None:
        """Append a row group."""
        self.writer.write_table(group, row_group_size=max(1, group.num_rows))
        self.written += group.nbytes

    def close(self) -> None:
        """Write the footer, without which the file is none."""
        self.writer.close()


def _leaves(schema: pa.Schema) -> list[str]:
    ends = dict.fromkeys(image_columns(schema), (".bytes", ".path"))
    return [name + end for name in schema.names for end in ends.get(name, ("",))]


def write_counts(folder: Place, shards: int, rows: int) -> None:
    """Note how much belongs to the set in this folder."""
    (folder / COUNTS_FILE).write_text(json.dumps({"shards": shards, "rows": rows}) + "\n")


def shards_of(path: Place) -> list[Place]:
    """Return the shards of the set in this folder, in order."""
    path = current(path)
    if not path.is_dir():
        raise ImageSetError(f"There is no image set at {path}; run the stage that makes it.")
    found: Iterable[Place] = path.glob(SHARDS)
    shards = sorted(found, key=lambda shard: shard.name)
    if not shards:
        raise ImageSetError(f"{path} holds no part-*.parquet shards, so it is not an image set.")
    if [shard.name for shard in shards] != [shard_name(n) for n in range(len(shards))]:
        raise ImageSetError(f"A shard is missing between {shards[0]} and {shards[-1]}; remake it.")
    return shards


def check_columns(path: Place, schemas: Sequence[pa.Schema]) -> None:
    """Refuse shards that lack a column of every set, or that differ."""
    missing = [column.name for column in FIELDS if column not in list(schemas[0])]
    if missing:
        raise ImageSetError(f"{path} is broken (no column {missing[0]}); make the set again.")
    if any(not schema.equals(schemas[0]) for schema in schemas):
        raise ImageSetError(f"{path} holds shards of different sets; make the set again.")


def check_counts(path: Place, shards: int, rows: int) -> None:
    """Refuse a set that holds another number of shards or rows than were written."""
    try:
        told = json.loads((path / COUNTS_FILE).read_text())
    except StoreError:
        raise
    except (OSError, ValueError) as error:
        raise ImageSetError(
            f"{path} is broken (its {COUNTS_FILE}: {error}); make it again."
        ) from error
    if told != {"shards": shards, "rows": rows}:
        raise ImageSetError(
            f"{path} holds {shards} shards with {rows} rows, but was written as {told}; a shard is "
            "missing or was exchanged: make the set again."
        )


def footer_of(shard: Place) -> pq.FileMetaData:
    """Return a shard's schema and the places of its row groups."""
    with explained(shard):
        return pq.read_metadata(readable(shard))


def metadata_of(path: Place, schema: pa.Schema) -> dict[str, Any]:
    """Return what the writer said of the set; refuse what a newer Remint wrote."""
    if b"remint" not in (schema.metadata or {}):
        raise ImageSetError(f"{path} holds Parquet files, but none of Remint's image sets.")
    try:
        metadata: dict[str, Any] = json.loads(schema.metadata[b"remint"])
        version = int(metadata["schema_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise ImageSetError(f"{path} is broken (its metadata); make the set again.") from error
    if version > SCHEMA_VERSION:
        raise ImageSetError(
            f"{path} has schema version {version}, this Remint reads up to "
            f"{SCHEMA_VERSION}; update Remint, or make the set again with this version."
        )
    return metadata


@contextmanager
def explained(path: Place) -> Iterator[None]:
    """Turn what Arrow and the disk raise into ImageSetError, with the file's name."""
    try:
        with reached(path):
            yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ImageSetError(f"{path} is broken ({reason}); make the set again.") from error
