"""Mapping a function over many items in processes: order kept, memory bounded."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from joblib import Parallel, delayed, effective_n_jobs

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
) -> Iterator[B]:
    """Yield function(item) in the order of `items`, computed by `workers` processes (0: all cores).

    A worker takes up to `batch` items at a time. At most 16 batches a worker are in flight,
    however slow the consumer is, and of heavy items (`weight`, in bytes) no more than 16 MiB a
    worker and one batch. With one worker everything happens in this process; results never depend
    on the number.
    """
    processes = effective_n_jobs(workers or -1)
    if processes == 1:
        yield from map(function, items)
        return
    batches = _packed(items, batch, BATCH_WEIGHT, weight)
    windows = _packed(
        batches,
        BATCHES_IN_FLIGHT * processes,
        WEIGHT_IN_FLIGHT * processes,
        lambda part: sum(map(weight, part)),
    )
    with Parallel(n_jobs=processes, return_as="generator", batch_size=1) as pool:
        for window in windows:
            for results in pool(delayed(_each)(function, part) for part in window):
                yield from results


def _packed(
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


def _each(function: Callable[[A], B], items: list[A]) -> list[B]:
    return [function(item) for item in items]
