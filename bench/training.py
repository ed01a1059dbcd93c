"""Training images/s of the loop against bare steps of the same networks, restorer and generator.

python -m bench.training [--rounds 5]

Both train on the same images and device in the same process, in turn; the bare side has its batch
on that device as a float tensor. Clocks are read when a GPU has done all that it was given; the
generators train in fp32. Printed: images/s of both and the ratio loop / bare, median and range.
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

from remint.core.arrays import to_tensor
from remint.core.device import autocast, pick_device
from remint.corruptions.composition import Step
from remint.corruptions.config import TrainingConfig
from remint.corruptions.pairs import FIELDS, training_spec
from remint.generator.data import LabelledSource
from remint.generator.train import TrainGeneratorConfig, build_players, train_generator
from remint.images import imageset
from remint.images.imageset import ImageSet, Record
from remint.restorer.data import DataConfig, NoiseConfig, PairSource
from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.objective import PIXEL_LOSSES
from remint.restorer.train import TrainRestorerConfig, train_restorer
from remint.training.losses import GAMES, gradient_penalty
from remint.training.optimisers import Optimisers
from remint.training.schedule import Budget
from tasks.stage import params

STORED = TrainingConfig(1, 0.0, 0.0, ())
KINDS = ("gaussian_noise", "poisson", "gaussian_blur", "downscale", "jpeg", "scratches", "fading")
DRAWN = TrainingConfig(0, 0.1, 0.6, tuple(Step(kind, (1.0, 5.0), 0.3) for kind in KINDS))


def write_sets(
    folder: Path, shape: tuple[int, int], images: int, training: TrainingConfig
) -> tuple[ImageSet, ImageSet]:
    """Write a clean set of random images and a corrupted one, and open both."""
    rng = np.random.default_rng(0)
    clean = [
        Record(f"{n:032x}", rng.integers(0, 256, (*shape, 1), dtype=np.uint8), "train", str(n))
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
        "training": training_spec(training),
    }
    imageset.write(folder / "corrupted", damaged, metadata=meta, extra_fields=FIELDS)
    return ImageSet(folder / "clean"), ImageSet(folder / "corrupted")


def write_labelled(path: Path, size: int, images: int) -> ImageSet:
    """Write a set of random images in ten classes, 32 of them held out, and open it."""
    rng = np.random.default_rng(0)
    records = (
        Record(
            f"{n:032x}",
            rng.integers(0, 256, (size, size, 1), dtype=np.uint8),
            "val" if n < 32 else "train",
            str(n),
            label=n % 10,
        )
        for n in range(images)
    )
    metadata = {"class_names": [str(digit) for digit in range(10)], "channels": 1}
    imageset.write(path, records, metadata=metadata)
    return ImageSet(path)


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


def now(device: torch.device) -> float:
    """Return the clock in seconds, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def bare_rate(config: TrainRestorerConfig, sets: tuple[ImageSet, ImageSet], images: int) -> float:
    """Return images/s of forward, backward and step on one batch that lies in memory."""
    device = pick_device(config.device, config.threads)
    network = build_network(config.network, 1)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    batch = config.data.batch
    damaged, clean = PairSource(*sets, config.data, 0)[np.arange(batch)]
    damaged, clean = (t.to(device, memory_format=torch.channels_last) for t in (damaged, clean))
    loss, _ = PIXEL_LOSSES[config.loss.pixel]
    warm = images // 10 // batch
    for step in range(images // batch):
        if step == warm:
            start = now(device)
        with autocast(device, config.precision):
            restored = network(damaged)
        take_step(optimiser, loss(restored.float(), clean))
    return (images // batch - warm) * batch / (now(device) - start)


def mint_loop_rate(config: TrainGeneratorConfig, clean: ImageSet, images: int) -> float:
    """Return images/s between the first and the last report of the generator's loop."""
    config = replace(config, budget=Budget(images, None))
    with tempfile.TemporaryDirectory() as folder:
        seen = [
            (time.perf_counter(), report.progress.images)
            for report in train_generator(config, clean, Path(folder))
        ]
    (start, first), (end, last) = seen[0], seen[-2]  # the last report looks and saves
    return (last - first) / (end - start)


def mint_bare_rate(config: TrainGeneratorConfig, clean: ImageSet, images: int) -> float:
    """Return images/s of the same game's steps on one batch that lies in memory."""
    batch, loss = config.data.batch, config.loss
    source = LabelledSource(clean, config.data, 0)
    device = pick_device(config.device, config.threads)
    players, _ = build_players(config, source, device, None)
    generator, rival = players.generator, players.discriminator
    assert rival is not None
    real = to_tensor(source.pixels(np.arange(batch)))
    real = real.to(device, memory_format=torch.channels_last)
    labels = torch.from_numpy(source.labels[:batch]).to(device)
    latents = torch.randn(batch, config.network.latent, device=device)
    game, warm = GAMES[loss.game], images // 10 // batch
    for step in range(images // batch):
        if step == warm:
            start = now(device)
        due = step % loss.penalty_every == 0
        with torch.no_grad():
            fake = generator.network(latents, labels)
        ours, theirs = real.requires_grad_(due), fake.requires_grad_(due)
        logits = rival.network(ours, labels), rival.network(theirs, labels)
        total = game.discriminator_loss(*logits)
        if due:
            pairs = zip(logits, (ours, theirs), strict=True)
            total = total + sum(gradient_penalty(judged, seen) for judged, seen in pairs)
        take_step(rival.optimiser, total)
        rival.network.requires_grad_(False)
        fooled = rival.network(generator.network(latents, labels), labels)
        with torch.no_grad():
            beside = rival.network(real, labels)
        take_step(generator.optimiser, game.generator_loss(beside, fooled))
        rival.network.requires_grad_(True)
    return (images // batch - warm) * batch / (now(device) - start)


def take_step(optimiser: torch.optim.Optimizer | Optimisers, loss: torch.Tensor) -> None:
    """Go one step down the loss."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def rounds(measures: Sequence[Callable[[], float]], number: int) -> Iterator[list[float]]:
    """Measure in turn, so that a machine whose speed drifts is fair to all."""
    for _ in range(number):
        yield [measure() for measure in measures]


def report(name: str, found: list[list[float]]) -> None:
    """Print medians and the ratio pair by pair."""
    ratios = [loop / bare for loop, bare in found]
    loop, bare = (statistics.median(side) for side in zip(*found, strict=True))
    print(
        f"{name:30} loop {loop:8.1f}  bare {bare:8.1f} images/s  "
        f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )


def main() -> None:
    """Measure the default restorer at 28 px, a larger one on 64 px crops, and the generator."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args()
    config = params.load("train_restorer", TrainRestorerConfig, args.params)
    crops = replace(
        config,
        network=NetworkConfig("nafnet", 48, (2, 2), 4, 2, 3),
        data=DataConfig(16, 64, "dihedral", NoiseConfig((25.0, 25.0), 1.0), 0, 0.5, 0.0),
    )
    drawn = replace(crops, data=replace(crops.data, noise=None))
    cases = [
        ("digits, 28 px", config, (28, 28), STORED, 12_800),
        ("noise, 64 px crops", crops, (128, 128), STORED, 640),
        ("drawn damage, 64 of 481 x 321", drawn, (321, 481), DRAWN, 640),
    ]
    for name, case, shape, training, images in cases:
        case = replace(case, loop=replace(case.loop, log_every=images // 10), validation_images=0)
        with tempfile.TemporaryDirectory() as folder:
            sets = write_sets(Path(folder), shape, 512, training)
            sides = [partial(side, case, sets, images) for side in (loop_rate, bare_rate)]
            report(name, list(rounds(sides, args.rounds)))
    measure_generator(args.params, args.rounds)


def measure_generator(path: Path, number: int) -> None:
    """Measure the game of the generator `conv` at 28 px, without snapshots on the way."""
    images = 6_400
    config = params.load("train_generator", TrainGeneratorConfig, path)
    config = replace(
        config,
        precision="fp32",
        network=replace(config.network, name="conv", width=96),
        snapshots=replace(config.snapshots, every=10**9, images=20, probe=None, select="kid"),
        loop=replace(config.loop, log_every=images // 10, checkpoint_every=10**9),
    )
    with tempfile.TemporaryDirectory() as folder:
        clean = write_labelled(Path(folder) / "clean", 28, 512)
        sides = [partial(side, config, clean, images) for side in (mint_loop_rate, mint_bare_rate)]
        report("generator, 28 px", list(rounds(sides, number)))


if __name__ == "__main__":
    main()
