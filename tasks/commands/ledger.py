"""The ledger of an inbox: one SQLite row a file, written so that no crash leaves half of one."""

import os
import sqlite3
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

STARTED, RESTORED, QUARANTINED = "started", "restored", "quarantined"
DONE = (RESTORED, QUARANTINED)


@dataclass(frozen=True)
class Entry:
    """What is known of a file.

    path: from the inbox's root; content: BLAKE2b-128 hex, "" where unread; changed: mtime in ns;
    model: fingerprint of its weights; at: seconds since 1970; output: whether what stands in the
    outbox under this name was made from this file, and may be replaced.
    """

    path: str
    content: str
    size: int
    changed: int
    model: str
    outcome: str
    reason: str
    at: float
    output: bool


NAMES = [field.name for field in fields(Entry)]


class Ledger:
    """The rows of one inbox by path; several inboxes may share the file.

    Every method raises OSError where the file can't be read or written, as on a full disk, and
    opening it ValueError where it is no ledger.
    """

    def __init__(self, path: Path, inbox: Path) -> None:
        self.path, self.inbox = path, inbox
        self._inbox = os.fsencode(inbox.resolve())
        try:
            self._store = sqlite3.connect(path, isolation_level=None)
            self._store.execute(
                "CREATE TABLE IF NOT EXISTS arrivals (inbox BLOB, path BLOB, content, size, "
                "changed, model, outcome, reason, at, output, PRIMARY KEY (inbox, path))"
            )
            self._take_over()
        except sqlite3.OperationalError as error:
            raise self._away(error) from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path} is no ledger ({error}); move it away") from error

    def again(self) -> "Ledger":
        """Return the same ledger for another thread."""
        return Ledger(self.path, self.inbox)

    def _take_over(self) -> None:
        """Take over the rows of a ledger that knew a single inbox."""
        listed = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'files'"
        if self._store.execute(listed).fetchone():
            known = "path, content, size, changed, model, outcome, reason, at"
            self._store.executescript(
                f"BEGIN; INSERT INTO arrivals SELECT X'{self._inbox.hex()}', {known}, "
                f"outcome != '{QUARANTINED}' FROM files; DROP TABLE files; COMMIT"
            )

    def _away(self, error: sqlite3.OperationalError) -> OSError:
        return OSError(
            f"{self.path} can't be read or written ({error}); make room, or give the right to, "
            "and start again"
        )

    def _ask(self, statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
        try:
            return self._store.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            raise self._away(error) from error

    def get(self, path: str) -> Entry | None:
        """Return what is known of a file."""
        asked = f"SELECT {', '.join(NAMES)} FROM arrivals WHERE inbox = ? AND path = ?"
        rows = self._ask(asked, [self._inbox, os.fsencode(path)])
        return _entry(rows[0]) if rows else None

    def put(self, entry: Entry) -> None:
        """Note an entry in place of what was known."""
        marks = ", ".join("?" * (len(NAMES) + 1))
        values = [self._inbox, os.fsencode(entry.path), *astuple(entry)[1:]]
        self._ask(f"REPLACE INTO arrivals (inbox, {', '.join(NAMES)}) VALUES ({marks})", values)

    def forget(self, path: str) -> None:
        """Know nothing of a file any more."""
        self._ask(
            "DELETE FROM arrivals WHERE inbox = ? AND path = ?", [self._inbox, os.fsencode(path)]
        )

    def quarantined(self) -> list[tuple[Path, Entry]]:
        """Return what failed, by path, of all inboxes, each with its inbox."""
        return self._of(QUARANTINED)

    def unfinished(self) -> list[tuple[Path, Entry]]:
        """Return what failed or was begun and has not ended, of all inboxes."""
        return self._of(STARTED, QUARANTINED)

    def _of(self, *outcomes: str) -> list[tuple[Path, Entry]]:
        marks = ", ".join("?" * len(outcomes))
        asked = f"FROM arrivals WHERE outcome IN ({marks}) ORDER BY path, inbox"
        rows = self._ask(f"SELECT inbox, {', '.join(NAMES)} {asked}", list(outcomes))
        return [(Path(os.fsdecode(row[0])), _entry(row[1:])) for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._store.close()


def _entry(row: tuple[Any, ...]) -> Entry:
    values = [os.fsdecode(row[0]), *row[1:-1], bool(row[-1])]
    return Entry(*values)
