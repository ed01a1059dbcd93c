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
from remint.generator.keeping import BEST, ranked
from remint.generator.starting import GeneratorStartConfig
from remint.generator.train import (
    JUMPS,
    GeneratorReport,
    TrainGeneratorConfig,
    train_generator,
)
from remint.images.imageset import ImageSet
from remint.networks.weights import save_network
from remint.training.distributed import process_group, rank
from remint.training.starting import ABSENT, NONE
from tasks.stage import params, stage
from tasks.stage.console import say
from tasks.tracking import runs
from tasks.training import single_run
from tasks.training.code import same_code
from tasks.training.log import UNFINISHED, TrainingLog

TOLD = ("images", "minutes")
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
        same_code("train_generator", model / UNFINISHED)
        ended: dict[str, GeneratorReport] = {}
        for report in reports:
            take(report, log, config, [one for name, one in ended.items() if name != report.stage])
            ended[report.stage] = report
        chosen = publish(model, list(ended.values()))
        run.metrics({f"selected_{name}": value for name, value in chosen.best.items()})
        run.artifact(model / "history.csv")
        run.model("generator", model, served_example(chosen.minter))


def take(
    report: GeneratorReport,
    log: TrainingLog,
    config: TrainGeneratorConfig,
    before: Sequence[GeneratorReport],
) -> None:
    """Take one report down; images and minutes go on from the stages before."""
    own = report.progress
    if own.note:
        say(f"train_generator: {own.note}")
        return
    images, minutes = (
        sum(getattr(one.progress, what) for one in (*before, report)) for what in TOLD
    )
    progress = replace(own, images=images, minutes=minutes)
    # a run of one stage calls its curves "generator", whatever the network
    stage_name = report.stage if before else "generator"
    values = {**own.losses, **(report.figures if report.fresh else {})}
    if own.losses:
        log.row(stage_name, images, progress, values)
    if own.sample_due:
        log.picture(sample_grid(report.minter), images)
    shown = f"KID {report.figures['selection_kid']:.4f}" if report.figures else "no snapshot yet"
    log.tell(stage_name, progress, total_images(config), shown)


def total_images(config: TrainGeneratorConfig) -> int | None:
    """Return the images of all stages, None where one is bounded by minutes alone."""
    jumps = config.adversarial
    budgets = [config.budget] if config.network.name != JUMPS else []
    budgets += [jumps.budget] if jumps else []
    counts = [budget.images for budget in budgets]
    return None if None in counts else sum(count for count in counts if count)


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


def publish(model: Path, ended: Sequence[GeneratorReport]) -> GeneratorReport:
    """Put the best snapshot, and the last, in place of what lies in the folder, or nothing.

    Of two stages the one whose snapshot is better is published, the other beside it, whole, in a
    folder of its name. Returns the report of the one that was chosen.
    """
    chosen = min(ended, key=lambda report: ranked(report.best, report.criterion))
    with replaced_folder(model) as folder:
        for report in ended:
            place = folder if report is chosen else folder / report.stage
            place.mkdir(exist_ok=True)
            put(report, place, ended)
        for name in ("history.csv", "samples"):
            copy = shutil.copytree if name == "samples" else shutil.copy2
            copy(model / UNFINISHED / name, folder / name)
    return chosen


def put(report: GeneratorReport, folder: Path, ended: Sequence[GeneratorReport]) -> None:
    """Write one stage's generator: its best snapshot, its last, its scores and its card."""
    minter, seen = report.minter, list(ended)[: list(ended).index(report) + 1]
    card: dict[str, Any] = {
        **minter.card,
        "format": FORMAT,
        "images_seen": sum(one.progress.images for one in seen),
        "minutes": round(sum(one.progress.minutes for one in seen), 2),
        "selected": report.best,
        "torch": torch.__version__,
    }
    if len(ended) > 1:
        card["stages"] = {one.stage: one.best for one in ended}
    shutil.copy2(report.folder / BEST, folder / WEIGHTS)
    shutil.copy2(report.folder / "snapshots.json", folder)
    save_network(folder / "last.safetensors", minter.network)
    if minter.discriminator is not None:
        save_network(folder / DISCRIMINATOR_WEIGHTS, minter.discriminator)
    (folder / CARD).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    stage.entry(main)
