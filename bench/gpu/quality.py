"""What some minutes on the device reach: a denoiser by the published protocol, and a generator."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.gpu.frame import Bench, Row, Skipped, attempted
from bench.gpu.games import MUON, begin, fed, minting, restorer
from bench.gpu.sets import Sets, beside, draw_files, draw_sets
from remint.classifier.train import ClassifierConfig
from remint.generator.generator import Minter
from remint.generator.networks.catalogue import chosen
from remint.generator.probe import Probe
from remint.generator.train import TrainGeneratorConfig, current_minter
from remint.generator_evaluation.features import ClassifierExtractor, by_hash, set_classifier
from remint.generator_evaluation.scoring import Reals, score_space
from remint.images.imageset import ImageSet
from remint.ingest.census import Census
from remint.ingest.config import IngestConfig
from remint.ingest.dead_leaves import DeadLeavesConfig
from remint.ingest.ingesting import ingest
from remint.ingest.scenes import PairsConfig
from remint.ingest.sources import open_source
from remint.ingest.splits import Shares
from remint.ingest.tables import TableConfig
from remint.restorer.restorer import Restorer
from remint.restorer.train import StageConfig, TrainRestorerConfig, train_restorer
from remint.restorer_evaluation.protocol import gaussian_denoising
from remint.training.schedule import Budget

SIGMA = 25.0  # levels of 0..255
SIDE = 5_000  # images, real and minted, that are compared
TEACHER = ClassifierConfig(300, 64, 1.0e-2, 32, "classical")  # as evaluate_generator's default
PROBE = ClassifierConfig(600, 64, 5.0e-3, 16, "none")  # as train_generator's
TINY_STEPS = 20
INGEST = IngestConfig(
    source="folder",
    path="",
    name="FashionMNIST",
    table=TableConfig("images.csv", "path", "", "", ""),
    dead_leaves=DeadLeavesConfig(1, 16),
    pairs=PairsConfig(0, 2, "quarantine"),
    leave_out=(),
    longest=0,
    fit="keep",
    size=28,
    colour="grey",
    background=255,
    max_pixels=10**8,
    shares=Shares(1.0, 0.0, 0.0),
    seed=1,
    near_duplicates="ignore",
    limit=0,
    max_bad_share=0.01,
    workers=0,
    engine="local",
    shard_megabytes=256,
)


def denoise(bench: Bench) -> Iterator[Row]:
    """The preset denoise's network on a folder of pictures for some minutes: Set12 at sigma 25.

    PSNR in dB by the published protocol, mean and each picture; the preset's rates, in the
    precision that the device likes. The aim is a mean of 30.44 dB.
    """
    if not bench.tiny and not (bench.pictures and bench.test):
        raise Skipped("name the folders: --pictures to train on, --test to measure on (Set12)")
    pictures = bench.pictures or draw_files(bench.folder / "drawn", 80, 6)
    test = bench.test or draw_files(bench.folder / "test", 48, 2)
    clean = _ingested(pictures, bench, INGEST)
    sets = Sets(clean, beside(bench.folder / "corrupted", clean.path))
    model, row = _denoiser(_denoising(bench), sets, bench.folder / "run")
    yield row
    figures = list(gaussian_denoising(model, test, SIGMA))
    means = {k: float(np.mean([getattr(f, k) for f in figures])) for k in ("psnr_input", "psnr")}
    yield {"case": f"mean of {len(figures)}", **means}
    yield from ({"case": f.name, "psnr_input": f.psnr_input, "psnr": f.psnr} for f in figures)


def _denoising(bench: Bench) -> TrainRestorerConfig:
    config = restorer(bench, "plain_unet", precision="auto", adversarial=None)
    batch = bench.batch or config.data.batch
    config = fed(config, batch=batch, patch=64, workers=bench.workers)
    stage, loop = StageConfig(_budget(bench, batch), MUON), replace(config.loop, log_every=20_000)
    return replace(config, fidelity=stage, loop=loop)


def _denoiser(config: TrainRestorerConfig, sets: Sets, folder: Path) -> tuple[Restorer, Row]:
    for report in train_restorer(config, *sets, folder):
        print(f"{report.progress.images:,} images, {report.progress.minutes:.2f} minutes")
    return report.restorer, _trained(config.network.name, report.progress)


def _trained(name: str, progress: Any) -> Row:
    images, minutes = progress.images, progress.minutes
    return {
        "case": f"training {name}",
        "images": images,
        "minutes": minutes,
        "images/s": images / (60 * minutes),
        "loss": progress.losses["fidelity_loss"],
    }


def _budget(bench: Bench, batch: int) -> Budget:
    return Budget(10 * batch, None) if bench.tiny else Budget(None, bench.minutes)


def _ingested(path: Path, bench: Bench, config: IngestConfig) -> ImageSet:
    config = replace(config, workers=1 if bench.tiny else 0)
    source = open_source(config.source, path, config.settings)
    ingest(source, config, bench.folder / "ingested", Census())
    return ImageSet(bench.folder / "ingested")


def mint(bench: Bench) -> Iterator[Row]:
    """Flow, the best generator, on Fashion-MNIST for some minutes, and what remint alone measures.

    In the space of the set's own classifier, on 5,000 images a side: KID, precision, recall,
    density, coverage and Frechet distance, the floors of held-out images beside them; the gap in
    points of accuracy of a classifier that saw minted images alone.
    """
    if not bench.tiny and not bench.fashion:
        raise Skipped("name the folder of Fashion-MNIST's IDX files: --fashion FOLDER")
    split = replace(INGEST, source="torchvision", fit="resize", shares=Shares(0.7, 0.15, 0.15))
    clean = (
        _ingested(bench.fashion, bench, split)
        if bench.fashion
        else draw_sets(bench.folder, 28, 220).clean
    )
    config = _minting(bench, clean)
    sets = Sets(clean, clean)
    game = begin(config, sets)
    reports = game.train(bench.folder / "run", _budget(bench, game.batch), 20_000)
    for progress in reports:
        print(f"{progress.images:,} images, {progress.minutes:.2f} minutes")
    yield _trained("flow", progress)
    source = game.objective.source  # type: ignore[attr-defined]
    minter = current_minter(config, source, game.players, clean, {})
    yield attempted("classifier's space", partial(_scored, minter, clean, bench))
    probe = replace(PROBE, steps=TINY_STEPS) if bench.tiny else PROBE
    taught = partial(Probe, source, clean, probe, bench.name)
    yield attempted("classifier taught", lambda: taught().score(minter))


def _minting(bench: Bench, clean: ImageSet) -> TrainGeneratorConfig:
    """Return the settings of the preset `fashion`."""
    config = minting(bench, "flow", precision="auto", optimiser=MUON)
    batch = bench.batch or (config.data.batch if bench.tiny else 128)
    steps = config.network.steps if bench.tiny else 16
    channels, size = int(clean.metadata["channels"]), int(clean.frame("train")["height"].iloc[0])
    network = chosen(replace(config.network, steps=steps), channels, size)
    return replace(fed(config, batch=batch), network=network)


def _scored(minter: Minter, clean: ImageSet, bench: Bench) -> Row:
    cache = bench.folder / "cache"
    config = replace(TEACHER, steps=TINY_STEPS) if bench.tiny else TEACHER
    teacher = set_classifier(clean, config, 20_000, 0, cache, bench.name)
    frame = clean.frame()
    train = frame["split"] == "train"
    reference, held_out = (by_hash(frame[rows], 0, "evaluate") for rows in (train, ~train))
    reals = Reals(clean, reference, held_out, cache, lambda images, total, words: images)
    row = score_space(minter, reals, ClassifierExtractor(teacher), SIDE, 0).row
    return {name: value for name, value in row.items() if name not in ("space", "version")}
