"""The ledger of an inbox: one SQLite row a file, written so that no crash leaves half of one."""

import os
import sqlite3
from dataclasses import astuple, dataclass, fields
from pathlib import Path

STARTED, RESTORED, QUARANTINED = "started", "restored", "quarantined"
DONE = (RESTORED, QUARANTINED)


@dataclass(frozen=True)
class Entry:
    """What is known of a file.

    path: from the inbox's root; content: BLAKE2b-128 hex, "" where unread; changed: mtime in ns;
    model: fingerprint of its weights; at: seconds since 1970.
    """

    path: str
    content: str
    size: int
    changed: int
    model: str
    outcome: str
    reason: str
    at: float


NAMES = [field.name for field in fields(Entry)]


class Ledger:
    """Rows by path. Raises ValueError where the file is no ledger."""

    def __init__(self, path: Path) -> None:
        self._store = sqlite3.connect(path, isolation_level=None)
        try:
            self._store.execute(
                "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, content, size, changed, "
                "model, outcome, reason, at)"
            )
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path} is no ledger ({error}); move it away") from error

    def get(self, path: str) -> Entry | None:
        """Return what is known of a file."""
        row = self._store.execute(
            f"SELECT {', '.join(NAMES)} FROM files WHERE path = ?", [os.fsencode(path)]
        ).fetchone()
        return _entry(row) if row else None

    def put(self, entry: Entry) -> None:
        """Note an entry in place of what was known."""
        marks = ", ".join("?" * len(NAMES))
        values = (os.fsencode(entry.path), *astuple(entry)[1:])
        self._store.execute(f"REPLACE INTO files ({', '.join(NAMES)}) VALUES ({marks})", values)

    def quarantined(self) -> list[Entry]:
        """Return what failed, by path."""
        rows = self._store.execute(
            f"SELECT {', '.join(NAMES)} FROM files WHERE outcome = ? ORDER BY path", [QUARANTINED]
        )
        return [_entry(row) for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._store.close()


def _entry(row: tuple) -> Entry:
    return Entry(os.fsdecode(row[0]), *row[1:])
