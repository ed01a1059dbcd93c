"""Runs whose process was killed before it could end them: the next run of its machine does.

Each run carries who holds it open. Were such a run at work after all, it would end as what it is:
the last word counts.
"""

import os
import socket
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG = "process"
SPACE = Path("/proc/self/ns/pid")  # in which a process has its number: each container its own
FIRST = 0xEFFFFFFC  # that of the machine itself, by Linux's own numbering
INSTALLED = Path("/etc/machine-id")  # outlives a restart; containers may share it with an image
BOOTED = Path("/proc/sys/kernel/random/boot_id")
CLOCK = 60.0  # seconds by which a machine's clock may be set meanwhile


def machine() -> str:
    """Return what tells this machine, or container, from others; all its processes say the same."""
    return f"{socket.gethostname()}-{_numbers()}"


def _numbers() -> str:
    try:
        space = os.stat(SPACE).st_ino
        installed = _read(INSTALLED) if space == FIRST and INSTALLED.is_file() else ""
        return f"{installed or _read(BOOTED)}-{space:x}"
    except OSError:  # not Linux
        return f"{uuid.getnode():x}"


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()


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
