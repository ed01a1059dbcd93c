"""Stage train_generator: a clean set in, a class-conditional generator out.

Checkpoints and curves of a run that is not finished lie in MODEL/checkpoints; an older model in
the folder stays whole until the new one replaces it.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from remint.core.atomic import replaced_folder, settle_leftovers
from remint.core.device import pick_device
from remint.generator.generator import CARD, DISCRIMINATOR_WEIGHTS, FORMAT, WEIGHTS, Minter
from remint.generator.starting import GeneratorStartConfig
from remint.generator.train import GeneratorReport, TrainGeneratorConfig, train_generator
from remint.images.imageset import ImageSet
from remint.networks.weights import save_network
from remint.training.distributed import process_group, rank
from remint.training.starting import ABSENT, NONE
from tasks.stage import params, stage
from tasks.stage.console import say
from tasks.tracking import runs
from tasks.training import single_run
from tasks.training.log import UNFINISHED, TrainingLog

COLUMNS, ROWS = 10, 20  # of a sample grid: images a class, and at most so many classes


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage; see --help."""
    parser = stage.parser(
        "train_generator",
        __doc__,
        clean="the clean image set",
        model="folder for the model",
    )
    parser.add_argument("--start", type=Path, help="model that start.model names, if it names one")
    args = parser.parse_args(argv)
    config = params.load("train_generator", TrainGeneratorConfig, args.params)
    clean = ImageSet(args.clean)
    config, start = begun(config, args.start)
    with single_run.interruptible("train_generator") as stop_reason, process_group():
        _run(config, clean, start, args.model, stop_reason)


def begun(
    config: TrainGeneratorConfig, folder: Path | None
) -> tuple[TrainGeneratorConfig, Minter | None]:
    """Return the settings with what training starts from: a model, or fresh weights.

    Fresh weights too, and said so, where the folder stands for a model that there was none of.
    """
    if config.start.model == NONE or folder is None:
        return config, None
    if (folder / ABSENT).exists():
        say(f"train_generator: {folder} holds no model yet, so training begins with fresh weights")
        return replace(config, start=GeneratorStartConfig(NONE, config.start.strict, 0)), None
    return config, Minter.load(folder, device="cpu")


def _run(
    config: TrainGeneratorConfig,
    clean: ImageSet,
    start: Minter | None,
    model: Path,
    stop_reason: Callable[[], str | None],
) -> None:
    reports = train_generator(config, clean, model / UNFINISHED, stop_reason, start)
    if rank() != 0:
        for _ in reports:
            pass
        return
    settle_leftovers(model)
    data = {"clean": clean.fingerprint, **({"start": start.fingerprint} if start else {})}
    on_gpu = pick_device(config.device).type == "cuda"
    with (
        single_run.alone(model / UNFINISHED, on_gpu, stop_reason),
        runs.stage_run("train_generator", config, data) as run,
        closing(TrainingLog(model / UNFINISHED, run)) as log,
    ):
        for report in reports:
            take(report, log, config.budget.images)
        publish(model, report)
        run.metrics({f"selected_{name}": value for name, value in report.best.items()})
        run.artifact(model / "history.csv")
        run.model("generator", model, served_example(report.minter))


def take(report: GeneratorReport, log: TrainingLog, total: int | None) -> None:
    """Take one report down."""
    progress = report.progress
    if progress.note:
        say(f"train_generator: {progress.note}")
        return
    values = {**progress.losses, **(report.figures if report.fresh else {})}
    if progress.losses:
        log.row("generator", progress.images, progress, values)
    if progress.sample_due:
        log.picture(sample_grid(report.minter), progress.images)
    shown = f"KID {report.figures['selection_kid']:.4f}" if report.figures else "no snapshot yet"
    log.tell("generator", progress, total, shown)


def served_example(minter: Minter) -> pd.DataFrame:
    """Return what the served model is asked for: a row for each of the first classes."""
    names = minter.class_names[:3] or [""]
    return pd.DataFrame({"class": names, "seed": range(len(names))})


def sample_grid(minter: Minter) -> np.ndarray:
    """Return uint8 HWC: one row a class, the same seeds every time."""
    rows = min(ROWS, minter.classes)
    labels = np.repeat(np.arange(rows), COLUMNS)
    images = minter.mint(labels, np.arange(len(labels)))
    side, channels = minter.size, minter.channels
    grid = images.reshape(rows, COLUMNS, side, side, channels).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(rows * side, COLUMNS * side, channels))


def publish(model: Path, report: GeneratorReport) -> None:
    """Put the best snapshot, and the last, in place of what lies in the folder, or nothing."""
    unfinished, minter = model / UNFINISHED, report.minter
    card: dict[str, Any] = {
        **minter.card,
        "format": FORMAT,
        "images_seen": report.progress.images,
        "minutes": round(report.progress.minutes, 2),
        "selected": report.best,
        "torch": torch.__version__,
    }
    with replaced_folder(model) as folder:
        shutil.copy2(unfinished / "best.safetensors", folder / WEIGHTS)
        for name in ("history.csv", "snapshots.json"):
            shutil.copy2(unfinished / name, folder)
        shutil.copytree(unfinished / "samples", folder / "samples")
        save_network(folder / "last.safetensors", minter.network)
        if minter.discriminator is not None:
            save_network(folder / DISCRIMINATOR_WEIGHTS, minter.discriminator)
        (folder / CARD).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    stage.entry(main)
