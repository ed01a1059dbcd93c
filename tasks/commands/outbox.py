"""What a pass leaves in the outbox beside pictures: the list of what failed, and no leftovers."""

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from psutil import pid_exists

from remint.core.atomic import PARTIAL, replaced_file
from tasks.commands.ledger import Ledger

QUARANTINE = "quarantine.csv"


def write_quarantine(ledger: Ledger, path: Path) -> None:
    """Write the list of what failed and is still there, for people; nothing where nothing did."""
    rows = [(inbox, row) for inbox, row in ledger.quarantined() if _lies(inbox / row.path)]
    if not rows and not path.exists():
        return
    with replaced_file(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "reason", "inbox"])
        writer.writerows(
            (_printable(row.path), row.reason, _printable(inbox)) for inbox, row in rows
        )


def _lies(path: Path) -> bool:
    """Return whether a file is there, or may be, where its folder can't be read."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _printable(name: str | Path) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def sweep(targets: Iterable[Path]) -> None:
    """Delete what processes that have ended left half-written of these files."""
    wanted = set(targets)
    for folder in {target.parent for target in wanted}:
        for partial in folder.glob(f".*{PARTIAL}"):
            name, _, pid = partial.name[1 : -len(PARTIAL)].rpartition(".")
            if folder / name in wanted and pid.isdigit() and not pid_exists(int(pid)):
                partial.unlink(missing_ok=True)
