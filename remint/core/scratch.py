"""Tables for one process, on the disk and gone with it."""

import sqlite3
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CACHE_KIB = 8192
SPEED = ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE")


class ScratchTable:
    """An SQLite table in a file without a name, which goes with this object; memory: 8 MiB.

    schema: what creates it; folder: on whose disk; None: that of the system's temporary files.
    """

    def __init__(self, schema: str, folder: Path | None = None) -> None:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            self._base = sqlite3.connect(file.name, isolation_level=None)
            weakref.finalize(self, self._base.close)
            for pragma in (*SPEED, f"cache_size = -{CACHE_KIB}"):
                self.run(f"PRAGMA {pragma}")
            self.run(schema)
            self.run("BEGIN")  # never to end: nothing is written before the cache is full

    def run(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Run a statement and return the number of rows that it changed.

        Raises OSError where the disk has no room for the table.
        """
        return self._executed(statement, values).rowcount

    def rows(self, question: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows that answer a question; raises OSError as `run` does."""
        return self._executed(question, values).fetchall()

    def _executed(self, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
        try:
            return self._base.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise OSError(f"No table of hashes can be kept on the disk: {error}") from error
