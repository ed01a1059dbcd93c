"""Training images/s of the loop against a bare forward, backward and step of the same networks.

python -m bench.training [--rounds 5]

Both train on the same images in the same process, in turn; the bare side has its batch in memory
as a float tensor. Printed: images/s of both and the ratio loop / bare, median and range.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from remint.images import imageset
from remint.images.imageset import ImageSet, Record
from remint.images.pairs import FIELDS
from remint.networks.catalogue import NetworkConfig, build_network
from remint.training.pairsource import DataConfig, PairSource
from remint.training.restoration import PIXEL_LOSSES
from remint.training.restorer_run import TrainRestorerConfig, train_restorer
from remint.training.schedule import Budget
from tasks import params


def write_sets(folder: Path, size: int, images: int) -> tuple[ImageSet, ImageSet]:
    """Write a clean set of random images and a corrupted one, and open both."""
    rng = np.random.default_rng(0)
    clean = [
        Record(f"{n:032x}", rng.integers(0, 256, (size, size, 1), dtype=np.uint8), "train", str(n))
        for n in range(images)
    ]
    imageset.write(folder / "clean", clean, metadata={"class_names": [], "channels": 1})
    extra = {"kind": "mixed", "severity": 0, "recipe": "[]", "mask": None}
    damaged = [replace(r, id=f"{r.id}.d", extra={"clean_id": r.id, **extra}) for r in clean]
    meta = {
        "class_names": [],
        "channels": 1,
        "seed": 0,
        "clean_fingerprint": ImageSet(folder / "clean").fingerprint,
        "training": {"draws": 1, "steps": []},
    }
    imageset.write(folder / "corrupted", damaged, metadata=meta, extra_fields=FIELDS)
    return ImageSet(folder / "clean"), ImageSet(folder / "corrupted")


def loop_rate(config: TrainRestorerConfig, sets: tuple[ImageSet, ImageSet], images: int) -> float:
    """Return images/s between the first and the last report of the loop."""
    stage = replace(config.fidelity, budget=Budget(images, None))
    config = replace(config, fidelity=stage, adversarial=None, default_interpolation=0.0)
    with tempfile.TemporaryDirectory() as folder:
        seen = [
            (time.perf_counter(), report.progress.images)
            for report in train_restorer(config, *sets, Path(folder))
        ]
    (start, first), (end, last) = seen[0], seen[-2]  # the last report saves a checkpoint
    return (last - first) / (end - start)


def bare_rate(config: TrainRestorerConfig, sets: tuple[ImageSet, ImageSet], images: int) -> float:
    """Return images/s of forward, backward and step on one batch that lies in memory."""
    network = build_network(config.network, 1).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    batch = config.data.batch
    damaged, clean = PairSource(*sets, config.data, 0)[np.arange(batch)]
    damaged, clean = (t.to(memory_format=torch.channels_last) for t in (damaged, clean))
    loss = PIXEL_LOSSES[config.loss.pixel]
    warm = images // 10 // batch
    for step in range(images // batch):
        if step == warm:
            start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        loss(network(damaged), clean).backward()
        optimiser.step()
    return (images // batch - warm) * batch / (time.perf_counter() - start)


def rounds(measures: Sequence[Callable[[], float]], number: int) -> Iterator[list[float]]:
    """Measure in turn, so that a machine whose speed drifts is fair to all."""
    for _ in range(number):
        yield [measure() for measure in measures]


def report(name: str, found: list[list[float]]) -> None:
    """Print medians and the ratio pair by pair."""
    ratios = [loop / bare for loop, bare in found]
    loop, bare = (statistics.median(side) for side in zip(*found, strict=True))
    print(
        f"{name:28} loop {loop:8.1f}  bare {bare:8.1f} images/s  "
        f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )


def main() -> None:
    """Measure the default network at 28 px whole images, and a larger one on 64 px crops."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args()
    config = params.load("train_restorer", TrainRestorerConfig, args.params)
    crops = replace(
        config,
        network=NetworkConfig("nafnet", 48, (2, 2), 4, 2, 3),
        data=DataConfig(16, 64, "dihedral", 25.0, 0, 0.5),
    )
    cases = [("digits, 28 px", config, 28, 12_800), ("noise, 64 px crops", crops, 128, 640)]
    for name, case, size, images in cases:
        case = replace(case, loop=replace(case.loop, log_every=images // 10), validation_images=0)
        with tempfile.TemporaryDirectory() as folder:
            sets = write_sets(Path(folder), size, 512)
            sides = [partial(side, case, sets, images) for side in (loop_rate, bare_rate)]
            report(name, list(rounds(sides, args.rounds)))


if __name__ == "__main__":
    main()
