"""Image sets made part by part: each by a task of its own, made once, whoever else is interrupted.

A task writes its part under a name that follows from its number, at once and whole, into a hidden
folder whose name holds the fingerprint of the work. So an interrupted run goes on after the parts
that are there, and a part never depends on who makes it or when.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from remint.core.stores import Place, reached, readable
from remint.images.imagerows import Record, row_groups
from remint.images.shards import ShardWriter, shard_name, write_counts
from remint.images.stored import COUNTS_FILE, put_in_place, replaced_file

A = TypeVar("A")


@dataclass(frozen=True)
class PartMaker(Generic[A]):
    """A task: `records(job)`, in their order, become the part of that number in `folder`."""

    folder: Place
    schema: pa.Schema
    records: Callable[[A], Iterable[Record]]

    def __call__(self, numbered: tuple[int, A]) -> Counter[str]:
        """Make the part where it is not there yet; return its rows by split."""
        number, job = numbered
        path = self.folder / shard_name(number)
        if not self._right(path):
            with (
                replaced_file(path) as fresh,
                closing(ShardWriter(fresh, self.schema)) as shard,
            ):
                for group in row_groups(self.schema, self.records(job)):
                    shard.add(group)
        with reached(path):
            splits = pq.read_table(readable(path), columns=["split"])["split"]
        return Counter(splits.to_pylist())

    def _right(self, path: Place) -> bool:
        try:
            return bool(pq.read_schema(readable(path)).equals(self.schema, check_metadata=True))
        except (pa.ArrowException, OSError):
            return False


def merge(folder: Place, target: Place, counts: list[Counter[str]]) -> Counter[str]:
    """Make the set at `target` of the parts in `folder`, which goes; return all rows by split.

    counts: of each part, as its task gave them.
    """
    total = sum(counts, Counter[str]())
    wanted = {COUNTS_FILE, *(shard_name(number) for number in range(len(counts)))}
    for other in folder.iterdir():  # half-written ones of killed tasks
        if other.name not in wanted:
            other.unlink()
    write_counts(folder, len(counts), total.total())
    put_in_place(folder, target)
    return total
