"""The registry, asked by a process: before the stages for a start, after them for champions."""

import sys
from collections.abc import Sequence
from logging import Logger, LoggerAdapter
from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from flows import away, stages

JUDGED = {"evaluate_restorer": "restorer", "evaluate_synthetic": "generator"}


def fetch_champion(log: Logger | LoggerAdapter[Logger], root: Path) -> None:
    """Put the champion at data/start/champion; where none is to be had, say so and go on."""
    command = [sys.executable, "-m", "tasks.promotion.fetch", "restorer", "champion"]
    end = stages.follow(command, {}, log.info, root)
    if end.code:
        log.warning("the champion to start from was not fetched; what was fetched before stays")


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
