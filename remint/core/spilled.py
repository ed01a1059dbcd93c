"""Rows that wait on the disk instead of in memory."""

import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

WAITING = 4096  # single rows in memory before they are written together


class Spilled:
    """Rows of one NumPy dtype in a file without a name, which goes when nobody holds this object.

    folder: on whose disk; None: that of the system's temporary files.
    """

    def __init__(self, dtype: DTypeLike, folder: Path | None = None) -> None:
        self.dtype = np.dtype(dtype)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - as long as the object
        weakref.finalize(self, self._file.close)
        self._written = 0
        self._waiting: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._written + len(self._waiting)

    def append(self, row: tuple[Any, ...]) -> None:
        """Add one row, given as its fields."""
        self._waiting.append(row)
        if len(self._waiting) == WAITING:
            self._flush()

    def extend(self, rows: np.ndarray) -> None:
        """Add rows [N] of the dtype."""
        self._flush()
        self._write(rows)

    def __getitem__(self, part: slice) -> np.ndarray:
        """Return a copy of the rows from part.start to part.stop, fewer at the end."""
        self._flush()
        start, stop, _ = part.indices(self._written)
        self._file.seek(start * self.dtype.itemsize)
        raw = bytearray(max(0, stop - start) * self.dtype.itemsize)
        self._file.readinto(raw)
        return np.frombuffer(raw, self.dtype)

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Yield all rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Return a copy of the rows of these numbers, int [N]."""
        parts = [self[row : row + 1] for row in rows]
        return np.concatenate(parts) if parts else np.empty(0, self.dtype)

    def _flush(self) -> None:
        if self._waiting:
            rows, self._waiting = np.array(self._waiting, self.dtype), []
            self._write(rows)

    def _write(self, rows: np.ndarray) -> None:
        self._file.seek(self._written * self.dtype.itemsize)
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)
        self._written += len(rows)
