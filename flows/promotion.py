"""The registry, asked by a process: before the stages for a start, after them for champions."""

import sys
from collections.abc import Sequence
from logging import Logger, LoggerAdapter
from pathlib import Path

from prefect.artifacts import create_markdown_artifact
from ruamel.yaml import YAML

from flows import away, stages

STARTS = "data/start"
JUDGED = {"evaluate_restorer": "restorer", "evaluate_synthetic": "generator"}


class NoStartError(RuntimeError):
    """The model that training is to start from is not there; nothing was run."""


def fetch_champion(log: Logger | LoggerAdapter[Logger], root: Path, or_none: bool = False) -> None:
    """Put the champion at data/start/champion; where none is to be had, say so and go on.

    or_none: where there is none yet, the folder says so, and training begins with fresh weights.
    """
    command = [sys.executable, "-m", "tasks.promotion.fetch", "restorer", "champion"]
    end = stages.follow([*command, *(["--or-none"] if or_none else [])], {}, log.info, root)
    if end.code:
        log.warning("the champion to start from was not fetched; what was fetched before stays")


def need_start(root: Path) -> None:
    """Raise NoStartError unless the folder that train_restorer.start.model names is there."""
    if not (root / "params.yaml").is_file():
        return
    values = YAML(typ="safe").load(root / "params.yaml") or {}
    model = values.get("train_restorer", {}).get("start", {}).get("model", "none")
    if model != "none" and not (root / STARTS / model).is_dir():
        raise NoStartError(
            f"train_restorer.start.model is {model} and there is no {STARTS}/{model}: put a model "
            "there (a champion by `python -m tasks.promotion.fetch restorer champion`, which needs "
            "one in the registry), set start.model to none, or let the flow begin without a "
            "champion (fetch_champion and fresh_without_champion: true)"
        )


def promote_all(done: Sequence[str], log: Logger | LoggerAdapter[Logger], root: Path) -> None:
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
