"""What lies in an inbox: files as a pass meets them, whole or still on their way."""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SETTLED_SECONDS = 5.0  # a file that changed since then may still be on its way


@dataclass(frozen=True)
class Arrival:
    """A file of the inbox as it stood when the pass met it."""

    path: Path
    name: str  # from the inbox's root
    status: os.stat_result

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.status.st_mode)

    def is_settled(self) -> bool:
        """Say whether it has not changed for a while.

        A time in the future, as a camera's wrong clock leaves it, says nothing: then the time at
        which this machine took the file up counts.
        """
        now = time.time()
        changed = self.status.st_mtime
        return now - (changed if changed <= now else self.status.st_ctime) >= SETTLED_SECONDS

    def has_changed(self) -> bool:
        """Say whether it is another file by now; one that was taken away is not."""
        try:
            now = self.path.lstat()
        except FileNotFoundError:
            return False
        return (now.st_size, now.st_mtime_ns) != (self.status.st_size, self.status.st_mtime_ns)

    def content(self) -> str:
        """Return its BLAKE2b-128 in hex; OSError where it can't be read."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def scan(inbox: Path, unread: list[str]) -> Iterator[Arrival]:
    """Yield what lies below the inbox, sorted, hidden files left out; links are not followed.

    unread: takes a sentence for each folder below that can't be read. Raises ValueError where the
    inbox itself can't be.
    """

    def note(error: OSError) -> None:
        told = f"{error.filename} can't be read ({error.strerror}); give the right to"
        if Path(error.filename) == inbox:
            raise ValueError(told)
        if error.errno != errno.ENOENT:  # it was taken away meanwhile
            unread.append(told)

    for here, folders, files in os.walk(inbox, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if (Path(here) / name).is_symlink()]
        for name in sorted([*links, *(name for name in files if not name.startswith("."))]):
            path = Path(here) / name
            try:
                yield Arrival(path, str(path.relative_to(inbox)), path.lstat())
            except FileNotFoundError:
                continue  # it was taken away meanwhile
