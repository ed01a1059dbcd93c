"""Images from memory, from the mapped file and decoded anew: `python -m bench.feeding`.

Sixty thousand drawn images of 28 px, labelled, and 300 of 512 px as crops of 64 px with plain
noise. Printed are images/s of feeding alone, one thread, the three in turn, median and range of the
ratio to memory; and the seconds and bytes of making the mapped file.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from bench.gpu.sets import Sets, draw_sets
from remint.generator.data import LabelledDataConfig, LabelledSource
from remint.images.decoded import PIXELS, decoded
from remint.restorer.data import DataConfig, NoiseConfig, PairSource
from remint.training.feeding import Numbered

BATCH = 64
LABELLED = LabelledDataConfig(BATCH, True, False, 0, 0.9)
CROPS = DataConfig(BATCH, 64, "dihedral", NoiseConfig((0.0, 50.0), 1.0), 0, 0.9, 0.0)


def main() -> None:
    """Measure both kinds of set; see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        small = draw_sets(Path(scratch) / "small", 28, 60_000)
        large = draw_sets(Path(scratch) / "large", 512, 300)
        for name, ways, batches in (
            ("60,000 x 28 px", labelled(small), 60),
            ("crops of 300 x 512 px", crops(large), 6),
        ):
            for line in compared(ways, batches, given.rounds):
                print(f"{name}: {line}", flush=True)


@dataclass(frozen=True)
class Ways:
    """One source read in three ways, and what the mapped file took."""

    memory: Numbered
    mapped: Numbered
    anew: Numbered
    seconds: float
    megabytes: float


def labelled(sets: Sets) -> Ways:
    """Return the labelled images of a generator's training."""
    seconds, megabytes = made(sets)
    anew = LabelledSource(sets.clean, replace(LABELLED, memory_share=0.0), 0)
    anew.stack = None
    mapped = LabelledSource(sets.clean, replace(LABELLED, memory_share=0.0), 0)
    return Ways(LabelledSource(sets.clean, LABELLED, 0), mapped, anew, seconds, megabytes)


def crops(sets: Sets) -> Ways:
    """Return the crops of a restorer's training."""
    seconds, megabytes = made(sets)
    anew = PairSource(*sets, replace(CROPS, memory_share=0.0), 0)
    anew.stacks = None
    mapped = PairSource(*sets, replace(CROPS, memory_share=0.0), 0)
    return Ways(PairSource(*sets, CROPS, 0), mapped, anew, seconds, megabytes)


def made(sets: Sets) -> tuple[float, float]:
    """Make the mapped file; return its seconds and megabytes."""
    start = time.perf_counter()
    images = decoded(sets.clean, "train")
    assert images is not None
    size = (images.folder / PIXELS).stat().st_size
    return time.perf_counter() - start, size / 2**20


def compared(ways: Ways, batches: int, rounds: int) -> list[str]:
    """Return lines of rates and of their ratios to memory."""
    sources = {"memory": ways.memory, "mapped": ways.mapped, "anew": ways.anew}
    rates: dict[str, list[float]] = {name: [] for name in sources}
    for number in range(rounds):
        for name, source in sources.items():
            rates[name].append(rate(source.__getitem__, batches, number))
    lines = [f"the mapped file: {ways.megabytes:.0f} MiB made in {ways.seconds:.1f} s"]
    for name, measured in rates.items():
        ratios = [a / b for a, b in zip(measured, rates["memory"], strict=True)]
        span = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append(f"{name:8} {median(measured):9,.0f} images/s, {span} of memory's")
    return lines


def rate(batch_of: Callable[[np.ndarray], object], batches: int, number: int) -> float:
    """Return images/s of so many batches."""
    first = number * batches * BATCH
    start = time.perf_counter()
    for k in range(batches):
        batch_of(np.arange(first + k * BATCH, first + (k + 1) * BATCH))
    return batches * BATCH / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
