"""Mapping a function over many items by many processes: order kept, memory bounded."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TypeVar

from remint.core.engines import dask_client, mapped, mapped_on_dask, processes_of

A = TypeVar("A")
B = TypeVar("B")
BATCHES_IN_FLIGHT = 16  # a worker
BATCH_WEIGHT = 2 * 2**20
WEIGHT_IN_FLIGHT = 16 * 2**20  # a worker

# Where the consumer ends with an error, its error is the news.
warnings.filterwarnings("ignore", r"\d+ tasks have been successfully executed", UserWarning)


def ordered_map(
    function: Callable[[A], B],
    items: Iterable[A],
    workers: int,
    batch: int = 16,
    weight: Callable[[A], int] = lambda item: 0,
    engine: str = "local",
) -> Iterator[B]:
    """Yield function(item) in the order of `items`, computed by `workers` processes (0: all cores).

    A worker takes up to `batch` items at a time. At most 16 batches a worker are in flight,
    however slow the consumer is, and of heavy items (`weight`, in bytes) no more than 16 MiB a
    worker and one batch; on Dask twice that. engine: see `engines.check_engine`; "local" with one
    worker does everything in this process. Results depend on neither.
    """
    processes = processes_of(workers)
    if engine != "local":
        with dask_client(engine, processes) as client:
            threads = sum(client.nthreads().values()) or processes
            windows = _windows(items, threads, batch, weight)
            yield from chain.from_iterable(mapped_on_dask(function, windows, client))
    elif processes == 1:
        yield from map(function, items)
    else:
        windows = _windows(items, processes, batch, weight)
        yield from chain.from_iterable(mapped(function, windows, processes))


def _windows(
    items: Iterable[A], processes: int, batch: int, weight: Callable[[A], int]
) -> Iterator[list[list[A]]]:
    batches = packed(items, batch, BATCH_WEIGHT, weight)
    return packed(
        batches,
        BATCHES_IN_FLIGHT * processes,
        WEIGHT_IN_FLIGHT * processes,
        lambda part: sum(map(weight, part)),
    )


def packed(
    items: Iterable[A], size: int, limit: int, weight: Callable[[A], int]
) -> Iterator[list[A]]:
    """Yield lists of `size` items, shorter where their weight reaches `limit`.

    more-itertools' constrained_batches looks one item ahead before it yields, here of both levels:
    a heavy image, and a whole batch, more in memory.
    """
    pack: list[A] = []
    carried = 0
    for item in items:
        pack.append(item)
        carried += weight(item)
        if len(pack) == size or carried >= limit:
            yield pack
            pack, carried = [], 0
    if pack:
        yield pack
