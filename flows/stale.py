"""A stage whose code or parameters changed while it ran is left stale: DVC must not trust it.

DVC hashes dependencies after the command, so its records would say that the outputs come from what
nobody ran. Outputs stay and are known by their hashes; what they were made of is struck out.
"""

import re
import subprocess
from contextlib import suppress
from pathlib import Path
from threading import Lock

from dvc.lock import make_lock
from ruamel.yaml import YAML

WORDS = r"warning: changed while {stage} ran: "  # what a stage says, see tasks/stage/standing.py
ONE = Lock()  # of the threads of this process, which DVC's own lock does not tell apart


def is_said(stage: str, line: str) -> bool:
    """Return whether a line of the stage says that it was changed meanwhile."""
    return re.match(WORDS.format(stage=re.escape(stage)), line) is not None


def leave(stage: str, root: Path, dvc: tuple[str, ...], since: float) -> None:
    """Strike from dvc.lock what `stage` was made of, and what DVC's run cache took up of it.

    since: seconds since 1970 when the stage was started; dvc: the command.
    """
    folder = root / ".dvc/tmp"
    with ONE, make_lock(str(folder / "lock"), str(folder), wait=True):
        command = _strike(stage, root / "dvc.lock")
    done = subprocess.run([*dvc, "cache", "dir"], cwd=root, capture_output=True, text=True)
    for record in (root / done.stdout.strip() / "runs").glob("*/*/*"):
        if record.stat().st_mtime >= since and YAML().load(record).get("cmd") == command:
            record.unlink()
            with suppress(OSError):  # other records are left; an empty folder stops DVC
                record.parent.rmdir()


def _strike(stage: str, path: Path) -> object:
    """Strike what a stage was made of from the lock file; return its command."""
    yaml = YAML()
    yaml.width = 10**6
    lock = yaml.load(path)
    entry = lock["stages"][stage]
    for part in ("deps", "params"):
        entry.pop(part, None)
    fresh = path.with_name("dvc.lock.fresh")
    yaml.dump(lock, fresh)
    fresh.replace(path)
    return entry["cmd"]
