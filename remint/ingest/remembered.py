"""What is remembered of ids and pictures while a set is written: their hashes, on the disk."""

from collections import Counter
from pathlib import Path

from remint.core.scratch import ScratchTable

SIGNED = 2**63  # SQLite's integers are signed, keys are not


class Ids:
    """The ids that were met, each with the row and the label that it was first met with.

    folder: on whose disk; None: that of the system's temporary files. Methods raise OSError where
    that has no room.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._count = 0
        self._table = ScratchTable(
            "CREATE TABLE ids (id BLOB PRIMARY KEY, row, label) WITHOUT ROWID", folder
        )

    def __len__(self) -> int:
        """Return the number of ids."""
        return self._count

    def earlier(self, id: bytes, label: int | None) -> tuple[int, int | None] | None:
        """Return row and label of an id that was met; another is the next row, and gives None."""
        values = (id, self._count, label)
        if self._table.run("INSERT OR IGNORE INTO ids VALUES (?, ?, ?)", values):
            self._count += 1
            return None
        ((row, known),) = self._table.rows("SELECT row, label FROM ids WHERE id = ?", (id,))
        return row, known


class PictureKeys:
    """The 64-bit keys of the pictures of each split, each once; see `Ids` for folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._table = ScratchTable(
            "CREATE TABLE keys (split, key, PRIMARY KEY (split, key)) WITHOUT ROWID", folder
        )

    def add(self, split: str, key: int) -> None:
        """Count a picture in a split, once however often it is added."""
        self._table.run("INSERT OR IGNORE INTO keys VALUES (?, ?)", (split, key - SIGNED))

    def discard(self, split: str, key: int) -> None:
        """Take a picture out of a split where it is in."""
        self._table.run("DELETE FROM keys WHERE split = ? AND key = ?", (split, key - SIGNED))

    def counts(self) -> Counter[str]:
        """Return the number of pictures of each split."""
        return Counter(dict(self._table.rows("SELECT split, COUNT(*) FROM keys GROUP BY split")))
