"""Batches by number: the same images in the same order whatever reads them."""

import atexit
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil
import torch
from torch.utils.data import DataLoader

from remint.training.distributed import rank, world_size

CGROUP = Path("/sys/fs/cgroup")


class Numbered(Protocol):
    """A source that gives the members of a batch by their numbers."""

    def __getitem__(self, counters: np.ndarray) -> tuple[torch.Tensor, ...]:
        """Return the batch's tensors, [len(counters), ...] each."""
        ...


def fits_memory(need: int, share: float) -> bool:
    """Say whether `need` bytes are at most that share of the memory that is free.

    Page cache counts as free, a container's limit holds, and processes of one machine divide
    the share between them.
    """
    free = min(psutil.virtual_memory().available, _container_free())
    return need <= share * free / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def keeps_in_memory(need: int, share: float, workers: int) -> bool:
    """Say whether a source decodes `need` bytes into its own memory.

    Where processes share the work each would hold a copy: they share a mapped file instead.
    """
    return workers == 0 and world_size() == 1 and fits_memory(need, share)


def _container_free() -> float:
    """Return the bytes that the control group (cgroup v2) leaves, infinite where it sets none."""
    try:
        limit = int((CGROUP / "memory.max").read_text())  # "max" where there is none
        used = int((CGROUP / "memory.current").read_text())
        counts = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return math.inf
    return limit - used + int(counts["inactive_file"])


class Counters:
    """Batches of image numbers from `first` on, without end; each process gets its share."""

    def __init__(self, first: int, batch: int) -> None:
        if batch % world_size():
            raise ValueError(
                f"data.batch: found {batch} for {world_size()} processes, needed a multiple"
            )
        self.first, self.batch = first, batch

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield int arrays of batch / processes members."""
        share = self.batch // world_size()
        start = self.first + rank() * share
        while True:
            yield np.arange(start, start + share)
            start += self.batch


def _leaves_at_once(_: int) -> None:
    """Let this worker end without the interpreter's own clearing up.

    A loader that is left in the middle has threads that still send tensors: cleared up beneath
    them, one worker in twenty aborts, and its parent's training with it. Results only travel by
    the queue, so nothing else is lost.
    """
    atexit.register(os._exit, 0)


def feed(source: Numbered, first: int, batch: int, workers: int) -> Iterator[tuple[Any, ...]]:
    """Yield this process's share of every batch from image `first` on, without end."""
    counters = Counters(first, batch)
    if workers == 0:
        return (source[numbers] for numbers in counters)
    loader: Any = DataLoader(
        source,  # type: ignore[arg-type]
        batch_size=None,
        sampler=counters,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context="spawn",  # a fork would inherit locks of threads it has not
        worker_init_fn=_leaves_at_once,
    )
    return iter(loader)
