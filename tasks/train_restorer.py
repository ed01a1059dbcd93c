"""Stage train_restorer: clean and corrupted sets in, a restorer out.

With --doubt-alone the finished model in MODEL gets a map of doubt, and stays as it is else.

Checkpoints and curves of a run that is not finished lie in MODEL/checkpoints; an older model in
the folder stays whole until the new one replaces it.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from remint.core.atomic import replaced_folder, settle_leftovers
from remint.core.device import pick_device
from remint.images.imageset import ImageSet
from remint.restorer.calibration import HeldOutPairs, calibrate, too_few
from remint.restorer.data import PairSource
from remint.restorer.doubt import SECTION, WEIGHTS, Doubt
from remint.restorer.doubt_training import train_doubt
from remint.restorer.restorer import Restorer, read_card, save_card, save_weights
from remint.restorer.shipped import suited
from remint.restorer.train import Report, TrainRestorerConfig, train_restorer
from remint.restorer.validation import Validation
from remint.training.distributed import process_group, rank
from remint.training.progress import Progress
from remint.training.starting import ABSENT, NONE
from tasks.serving.base64_images import encode
from tasks.stage import params, stage
from tasks.stage.console import say
from tasks.tracking import runs
from tasks.training import single_run
from tasks.training.code import refuse_begun, same_code
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
    parser.add_argument("--doubt-alone", action="store_true", help="only add a map of doubt")
    args = parser.parse_args(argv)
    config = params.load("train_restorer", TrainRestorerConfig, args.params)
    clean, corrupted = ImageSet(args.clean), ImageSet(args.corrupted)
    if args.doubt_alone:
        with single_run.interruptible("train_restorer") as stop_reason:
            add_doubt(config, clean, corrupted, args.model, stop_reason)
        return
    config, start = begun(config, args.start, int(clean.metadata["channels"]))
    with single_run.interruptible("train_restorer") as stop_reason, process_group():
        _run(config, clean, corrupted, start, args.model, stop_reason)


def begun(
    config: TrainRestorerConfig, folder: Path | None, channels: int
) -> tuple[TrainRestorerConfig, Restorer | None]:
    """Return the settings with what training starts from: a model, or fresh weights.

    Fresh weights too, and said so, where the folder stands for a model that there was none of.
    """
    if config.start.model == NONE:
        return config, None
    if folder is not None and (folder / ABSENT).exists():
        say(f"train_restorer: {folder} holds no model yet, so training begins with fresh weights")
        return replace(config, start=replace(config.start, model=NONE)), None
    return config, starting_model(folder, channels)


def starting_model(folder: Path | None, channels: int) -> Restorer | None:
    """Return the model that training starts from: its fidelity weights, which are averages.

    folder: the model's, or one of several models, of which the one for `channels` is taken.
    """
    if folder is None:
        return None
    return Restorer.load(suited(folder, channels), interpolation=0.0, device="cpu")


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
        same_code("train_restorer", model / UNFINISHED)
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
        self.held_out = HeldOutPairs(clean, corrupted, noise, config.seed)
        self.seen: dict[str, int] = {}
        self.minutes: dict[str, float] = {}
        self.card: dict[str, Any] = {}

    def take(self, report: Report) -> None:
        """Take one report down."""
        progress, name = report.progress, report.stage
        if progress.note:
            say(f"{name}: {progress.note}")
            return
        if report.doubt is not None:
            self._take_doubt(report.progress, report.doubt, report.restorer)
            return
        earlier = sum(seen for stage, seen in self.seen.items() if stage != name)
        minutes = sum(spent for stage, spent in self.minutes.items() if stage != name)
        progress = replace(progress, minutes=progress.minutes + minutes)
        self.card, step = report.restorer.card, progress.images + earlier
        values = {**progress.losses, **self.validation.psnr(report.restorer)}
        if progress.losses:  # a stage that was finished before has nothing new to tell
            self.log.row(name, step, progress, values)
        grid = self.validation.grid(report.restorer) if progress.sample_due else None
        if grid is not None:
            self.log.picture(grid, step)
        if progress.finished:
            save_weights(self.log.folder, name, report.restorer.network)
            self.seen[name], self.minutes[name] = progress.images, report.progress.minutes
        total = getattr(self.config, name).budget.images
        self.log.tell(name, progress, total, _figures(values))

    def _take_doubt(self, progress: Progress, doubt: Doubt, restorer: Restorer) -> None:
        """Take a report of the map of doubt down; its curve is MLflow's alone."""
        assert self.config.doubt is not None
        self.log.run.metrics(
            {f"{SECTION}/{name}": value for name, value in progress.losses.items()},
            progress.images + sum(self.seen.values()),
        )
        self.log.tell(SECTION, progress, self.config.doubt.images, _figures(progress.losses))
        if progress.finished:
            section = finish_doubt(self.log.folder, doubt, restorer, self.held_out, self.config)
            self.card = {**self.card, SECTION: section}


def _figures(values: dict[str, float]) -> str:
    shown = {
        "fidelity_loss": "loss {:.4f}",
        "doubt_loss": "loss {:.5f}",
        "val_psnr": "val {:.2f} dB",
        "val_psnr_input": "its input {:.2f} dB",
        "silent_share": "{:.1%} of the units silent",
    }
    return ", ".join(form.format(values[name]) for name, form in shown.items() if name in values)


def finish_doubt(
    folder: Path,
    doubt: Doubt,
    restorer: Restorer,
    pairs: HeldOutPairs,
    config: TrainRestorerConfig,
) -> dict[str, Any]:
    """Calibrate a trained head, keep it in the folder; return what the model's card says of it."""
    assert config.doubt is not None
    section = calibrate(doubt, restorer, pairs, config.doubt.alpha)
    if "refused" in section:
        say(f"{SECTION}: no map of doubt: {section['refused']}")
        return section
    save_weights(folder, SECTION, doubt.head)
    say(
        f"{SECTION}: calibrated on {section['pairs']:,} pairs of {section['pictures']:,} pictures, "
        f"lambda {section['factor']:.3f}"
    )
    return {**section, "interpolation": restorer.interpolation, "images_seen": config.doubt.images}


def add_doubt(
    config: TrainRestorerConfig,
    clean: ImageSet,
    corrupted: ImageSet,
    model: Path,
    stop_reason: Callable[[], str | None] = lambda: None,
) -> None:
    """Teach a finished model's folder a map of doubt, by what training teaches it; whole or not."""
    if config.doubt is None:
        raise ValueError("train_restorer.doubt is null, so there is no map to add; give its values")
    channels = read_card(model).get("channels")
    if channels != clean.metadata["channels"]:
        raise ValueError(
            f"{model} restores pictures of {channels} channels and {clean.path} has "
            f"{clean.metadata['channels']}; give the sets that it was trained for"
        )
    pairs = HeldOutPairs(clean, corrupted, config.data.noise, config.seed)
    refused = too_few(pairs, config.doubt.alpha)
    if refused:
        raise ValueError(f"{model}: no map of doubt can be added: {refused}")
    on_gpu = pick_device(config.device, config.threads).type == "cuda"
    with single_run.alone(model / UNFINISHED, on_gpu, stop_reason):
        _teach_doubt(config, clean, corrupted, pairs, model, stop_reason)


def _teach_doubt(
    config: TrainRestorerConfig,
    clean: ImageSet,
    corrupted: ImageSet,
    pairs: HeldOutPairs,
    model: Path,
    stop_reason: Callable[[], str | None],
) -> None:
    assert config.doubt is not None
    refuse_begun(model / UNFINISHED, SECTION)
    same_code("train_restorer", model / UNFINISHED / SECTION)
    restorer = Restorer.load(model, device=config.device, precision=config.precision)
    data = {"clean": clean.fingerprint, "corrupted": corrupted.fingerprint}
    reports = train_doubt(
        config.doubt,
        restorer,
        PairSource(clean, corrupted, config.data, config.seed),
        config.loop,
        model / UNFINISHED / SECTION,
        {"restorer": restorer.fingerprint, "data": data},
        stop_reason,
    )
    for progress, taught in reports:
        say(f"{SECTION}: {progress.images:,} images, {_figures(progress.losses)}")
        doubt = taught
    with replaced_folder(model) as folder:
        left = shutil.ignore_patterns(UNFINISHED, WEIGHTS)
        shutil.copytree(model, folder, ignore=left, dirs_exist_ok=True)
        section = finish_doubt(folder, doubt, restorer, pairs, config)
        save_card(folder, {**restorer.card, SECTION: section})


def publish(model: Path, card: dict[str, Any]) -> None:
    """Put the finished model in place of what lies in the folder, whole or not at all."""
    unfinished = model / UNFINISHED
    with replaced_folder(model) as folder:
        for weights in unfinished.glob("*.safetensors"):
            if weights.name != WEIGHTS or "factor" in card.get(SECTION, {}):
                shutil.copy2(weights, folder)
        shutil.copy2(unfinished / "history.csv", folder)
        shutil.copytree(unfinished / "samples", folder / "samples")
        save_card(folder, {**card, "torch": torch.__version__})


if __name__ == "__main__":
    stage.entry(main)
