"""Stage train_restorer: clean and corrupted sets in, a restorer out.

Checkpoints and curves of a run that is not finished lie in MODEL/checkpoints; an older model in
the folder stays whole until the new one replaces it.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from remint.core.atomic import replaced_folder, settle_leftovers
from remint.core.device import pick_device
from remint.images.imageset import ImageSet
from remint.restorer.restorer import Restorer, save_card, save_weights
from remint.restorer.starting import NONE
from remint.restorer.train import Report, TrainRestorerConfig, train_restorer
from remint.restorer.validation import Validation
from remint.training.distributed import process_group, rank
from tasks.serving.base64_images import encode
from tasks.stage import params, stage
from tasks.stage.console import say
from tasks.tracking import runs
from tasks.training import single_run
from tasks.training.log import UNFINISHED, TrainingLog


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage; see --help."""
    parser = stage.parser(
        "train_restorer",
        __doc__,
        clean="the clean image set",
        corrupted="its damaged pairs",
        model="folder for the model",
    )
    parser.add_argument("--start", type=Path, help="model that start.model names, if it names one")
    args = parser.parse_args(argv)
    config = params.load("train_restorer", TrainRestorerConfig, args.params)
    clean, corrupted = ImageSet(args.clean), ImageSet(args.corrupted)
    start = None if config.start.model == NONE else starting_model(args.start)
    with single_run.interruptible("train_restorer") as stop_reason, process_group():
        _run(config, clean, corrupted, start, args.model, stop_reason)


def starting_model(folder: Path | None) -> Restorer | None:
    """Return the model that training starts from: its fidelity weights, which are averages."""
    return None if folder is None else Restorer.load(folder, interpolation=0.0, device="cpu")


def _run(
    config: TrainRestorerConfig,
    clean: ImageSet,
    corrupted: ImageSet,
    start: Restorer | None,
    model: Path,
    stop_reason: Callable[[], str | None],
) -> None:
    reports = train_restorer(config, clean, corrupted, model / UNFINISHED, stop_reason, start)
    if rank() != 0:
        for _ in reports:
            pass
        return
    settle_leftovers(model)
    data = {"clean": clean.fingerprint, "corrupted": corrupted.fingerprint}
    data |= {"start": start.fingerprint} if start else {}
    on_gpu = pick_device(config.device).type == "cuda"
    with (
        single_run.alone(model / UNFINISHED, on_gpu, stop_reason),
        runs.stage_run("train_restorer", config, data) as run,
        closing(TrainingLog(model / UNFINISHED, run)) as log,
    ):
        notes = Notes(config, clean, corrupted, log)
        for report in reports:
            notes.take(report)
        publish(model, {**notes.card, "images_seen": sum(notes.seen.values())})
        run.artifact(model / "history.csv")
        run.model("restorer", model, served_example(clean))


def served_example(clean: ImageSet) -> pd.DataFrame:
    """Return what the served model is asked for: the first clean image."""
    return pd.DataFrame({"image": [encode(clean.at(0)[1])]})


class Notes:
    """Takes the reports of both stages down in the log, and keeps their finished weights."""

    def __init__(
        self, config: TrainRestorerConfig, clean: ImageSet, corrupted: ImageSet, log: TrainingLog
    ) -> None:
        self.config, self.log = config, log
        noise, count = config.data.noise, config.validation_images
        self.validation = Validation(clean, corrupted, count, noise, config.seed)
        self.seen: dict[str, int] = {}
        self.card: dict[str, Any] = {}

    def take(self, report: Report) -> None:
        """Take one report down."""
        progress, name = report.progress, report.stage
        if progress.note:
            say(f"{name}: {progress.note}")
            return
        earlier = sum(seen for stage, seen in self.seen.items() if stage != name)
        self.card, step = report.restorer.card, progress.images + earlier
        values = {**progress.losses, **self.validation.psnr(report.restorer)}
        if progress.losses:  # a stage that was finished before has nothing new to tell
            self.log.row(name, step, progress, values)
        grid = self.validation.grid(report.restorer) if progress.sample_due else None
        if grid is not None:
            self.log.picture(grid, step)
        if progress.finished:
            save_weights(self.log.folder, name, report.restorer.network)
            self.seen[name] = progress.images
        total = getattr(self.config, name).budget.images
        self.log.tell(name, progress, total, _figures(values))


def _figures(values: dict[str, float]) -> str:
    shown = {"fidelity_loss": "loss {:.4f}", "val_psnr": "val {:.2f} dB"}
    return ", ".join(form.format(values[name]) for name, form in shown.items() if name in values)


def publish(model: Path, card: dict[str, Any]) -> None:
    """Put the finished model in place of what lies in the folder, whole or not at all."""
    unfinished = model / UNFINISHED
    with replaced_folder(model) as folder:
        for weights in unfinished.glob("*.safetensors"):
            shutil.copy2(weights, folder)
        shutil.copy2(unfinished / "history.csv", folder)
        shutil.copytree(unfinished / "samples", folder / "samples")
        save_card(folder, {**card, "torch": torch.__version__})


if __name__ == "__main__":
    stage.entry(main)
