"""Passing files: what was made of one part of some work, row by row, kept until all of it is done.

A part is written whole under a name that follows from the work, into a hidden folder whose name
holds the fingerprint of all that decides it. So an interrupted run goes on after the parts that are
there, and what was made otherwise, or has suffered, is made anew.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from remint.core.atomic import resumed_folder
from remint.core.fingerprint import work_fingerprint
from remint.core.stores import Place, kept_beside, reached, readable, writable
from remint.core.workers import packed
from remint.images.stored import drop_folder, made_alone, replaced_file

Told = dict[str, Any]  # a row as Parquet holds it
ROOMS = ("remint.images", "remint.core")  # whose code and libraries have a hand in every part
LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "scipy", "pyarrow")
GROUP_ROWS = 256
GROUP_BYTES = 2**20


def work_of(decides: Any, rooms: Sequence[str], libraries: Sequence[str] = ()) -> str:
    """Return the fingerprint of work: its JSON-able givens, its own rooms and libraries, and ours.

    See `work_fingerprint`.
    """
    return work_fingerprint(decides, (*rooms, *ROOMS), (*LIBRARIES, *libraries))


@contextmanager
def passing_folder(target: Place, kind: str, key: str) -> Iterator[Path]:
    """Hold the set at `target`; yield the folder of such parts, gone when the block ends well.

    kind: a word that tells them from parts of other work; key: see `work_of`. Raises ValueError
    where another process makes this set.
    """
    place = target.absolute()
    with made_alone(place):
        folder = resumed_folder(kept_beside(place) / f"{place.name}.{kind}", key)
        yield folder
        drop_folder(folder)


def made_part(
    path: Place,
    schema: pa.Schema,
    right: Callable[[Iterator[Told]], bool],
    rows: Callable[[], Iterable[Told]],
    weight: Callable[[Told], int],
) -> Place:
    """Write a part's rows to `path` where they are not there yet, or not right; return `path`.

    right: says so of the rows that are there, which it may read; ValueError says no. rows: makes
    them; weight: bytes of a row, by which row groups stay small.
    """
    if not _is_right(path, schema, right):
        with replaced_file(path, synced=False) as fresh:  # `_is_right` would see it
            _write(fresh, schema, rows(), weight)
    return path


def read_rows(path: Place) -> Iterator[Told]:
    """Yield the rows of a part, in order; memory holds one row group.

    Raises OSError or pyarrow's own errors for a file that is absent or broken, StoreError for a
    store that is not reached or refuses.
    """
    with (
        reached(path),
        pq.ParquetFile(readable(path), page_checksum_verification=True) as file,
    ):
        for number in range(file.num_row_groups):
            yield from file.read_row_group(number, use_threads=False).to_pylist()


def image_bytes(row: Mapping[str, Any]) -> int:
    """Return the bytes of the encoded image of a set's row."""
    return len(row["image"]["bytes"])


def _is_right(path: Place, schema: pa.Schema, right: Callable[[Iterator[Told]], bool]) -> bool:
    try:
        return bool(pq.read_schema(readable(path)).equals(schema)) and right(read_rows(path))
    except (pa.ArrowException, OSError, ValueError):
        return False


def _write(
    path: Place, schema: pa.Schema, rows: Iterable[Told], weight: Callable[[Told], int]
) -> None:
    where, filesystem = writable(path)
    with pq.ParquetWriter(
        where,
        schema,
        filesystem=filesystem,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    ) as file:
        for group in packed(rows, GROUP_ROWS, GROUP_BYTES, weight):
            file.write_table(pa.Table.from_pylist(group, schema=schema))
