"""Runs whose process was killed before it could end them: the next run of its machine does.

Each run carries who holds it open. Were such a run at work after all, in a container that shares
name and network card, it would end as what it is: the last word counts.
"""

import socket
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG = "process"
CLOCK = 60.0  # seconds by which a machine's clock may be set meanwhile


def machine() -> str:
    """Return what tells this machine from others, with their containers."""
    return f"{socket.gethostname()}-{uuid.getnode():x}"


def holder() -> dict[str, str]:
    """Return the tag that says which process holds a run open; none where nobody can tell."""
    try:
        own = psutil.Process()
        return {TAG: f"{machine()} {own.pid} {own.create_time():.1f}"}
    except (psutil.Error, OSError):
        return {}


def close_killed(client: "MlflowClient", experiment: str) -> None:
    """End the runs of this machine as KILLED whose process is gone.

    It raises nothing: a run that can't be closed stays open, and the one that begins begins.
    """
    with suppress(Exception):
        theirs = f"attributes.status = 'RUNNING' and tags.{TAG} LIKE '{machine()} %'"
        for run in client.search_runs([experiment], theirs):
            with suppress(Exception):
                if not _lives(*run.data.tags[TAG].split()[-2:]):
                    client.set_terminated(run.info.run_id, "KILLED")


def _lives(pid: str, created: str) -> bool:
    """Tell whether a process is there; one that can't be looked at is taken to be."""
    number, since = int(pid), float(created)
    try:
        return abs(psutil.Process(number).create_time() - since) < CLOCK
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
