"""Rounds of training pairs: a source's members, batch by batch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch

from remint.restorer.data import PairSource
from remint.training.feeding import feed


@dataclass(frozen=True)
class PairBatch:
    """One round: damaged and clean, float32 N,C,H,W in [-1, 1].

    images: of all processes; round: its number in the run.
    """

    images: int
    round: int
    damaged: torch.Tensor
    clean: torch.Tensor

    def chunks(self, parts: int) -> list[Self]:
        """Split into equal parts (fewer where there are fewer images)."""
        pairs = zip(self.damaged.chunk(parts), self.clean.chunk(parts), strict=True)
        return [replace(self, damaged=d, clean=c) for d, c in pairs]

    def to(self, device: torch.device) -> Self:
        """Move to the device, channels-last."""
        last = torch.channels_last
        damaged = self.damaged.to(device, memory_format=last, non_blocking=True)
        clean = self.clean.to(device, memory_format=last, non_blocking=True)
        return replace(self, damaged=damaged, clean=clean)


def batches(source: PairSource, first: int) -> Iterator[PairBatch]:
    """Yield rounds from image `first` on, the same whatever the number of workers."""
    config = source.config
    fed = feed(source, first, config.batch, config.workers)
    for number, pair in enumerate(fed, first // config.batch):
        yield PairBatch(config.batch, number, *pair)
