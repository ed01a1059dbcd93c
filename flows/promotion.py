"""The registry, asked by a process: before the stages for a start, after them for champions."""

import sys
from collections.abc import Collection, Sequence
from logging import Logger, LoggerAdapter
from pathlib import Path

from prefect.artifacts import create_markdown_artifact
from ruamel.yaml import YAML

from flows import away, stages

STARTS = "data/start"
# the trainings that may begin with a model: which, and where its champion is put
BEGUN = {
    "train_restorer": ("restorer", "champion"),
    "train_generator": ("generator", "generator-champion"),
}
JUDGED = {"evaluate_restorer": "restorer", "evaluate_synthetic": "generator"}


class NoStartError(RuntimeError):
    """The model that training is to start from is not there; nothing was run."""


Log = Logger | LoggerAdapter[Logger]


def fetch_champions(
    trainings: Collection[str], log: Log, root: Path, or_none: bool = False
) -> None:
    """Put the champion that each training would begin with where `start.model` may name it.

    Where none is to be had, say so and go on; or_none: where there is none yet, the folder says so,
    and training begins with fresh weights.
    """
    for model, _ in (BEGUN[name] for name in trainings):
        command = [sys.executable, "-m", "tasks.promotion.fetch", model, "champion"]
        end = stages.follow([*command, *(["--or-none"] if or_none else [])], {}, log.info, root)
        if end.code:
            log.warning("the champion %s was not fetched; what was fetched before stays", model)


def need_starts(trainings: Collection[str], root: Path) -> None:
    """Raise NoStartError unless each folder that `start.model` of a training names is there."""
    if not (root / "params.yaml").is_file():
        return
    values = YAML(typ="safe").load(root / "params.yaml") or {}
    for name in trainings:
        model = values.get(name, {}).get("start", {}).get("model", "none")
        if model != "none" and not (root / STARTS / str(model)).is_dir():
            raise NoStartError(_no_start(name, model))


def _no_start(training: str, model: str) -> str:
    champion = BEGUN[training][0]
    return (
        f"{training}.start.model is {model} and there is no {STARTS}/{model}: put a model there "
        f"(a champion by `python -m tasks.promotion.fetch {champion} champion`, which needs one in "
        "the registry), set start.model to none, or let the flow begin without a champion "
        "(fetch_champion and fresh_without_champion: true)"
    )


def promote_all(done: Sequence[str], log: Log, root: Path) -> None:
    """Ask for each model that was evaluated; an answer that can't be had is a warning."""
    for name in (model for stage, model in JUDGED.items() if stage in done):
        command = [sys.executable, "-m", "tasks.promotion.promote", name]
        end = stages.follow(command, {}, log.info, root)
        if end.code:
            last = end.tail[-1] if end.tail else f"it ended with {end.code}"
            log.warning("no decision on the %s: %s", name, last)
            continue
        with away.server_may_be_away(log):
            create_markdown_artifact(
                "\n".join(end.tail), key=f"promotion-{name}", description=f"Champion {name}"
            )
