"""What only one may hold at a time: a checkout, whose outputs two would overwrite, and the GPU."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.concurrency.sync import concurrency

LOCK = Path(".dvc/tmp/remint-workspace.lock")


class CheckoutBusyError(RuntimeError):
    """Another flow run works in this checkout."""


@contextmanager
def checkout(root: Path, who: str) -> Iterator[None]:
    """Hold the checkout at `root` for `who` while the block runs; a dead holder holds nothing.

    Raises CheckoutBusyError, which names the holder, where another run holds it.
    """
    path = root / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise CheckoutBusyError(
                f"this checkout is in use by {file.read().strip() or 'another flow run'}; start "
                "again when it has ended, or run in another clone"
            ) from None
        file.truncate(0)
        file.write(f"flow run {who} (process {os.getpid()})\n")
        file.flush()
        yield


@contextmanager
def gpu(needed: bool) -> Iterator[None]:
    """Wait for a turn under the limit "gpu"; a holder that is lost frees it within a minute."""
    if not needed:
        yield
        return
    with concurrency("gpu", lease_duration=60):
        yield
