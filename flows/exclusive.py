"""What only one may hold at a time: a checkout, whose outputs two would overwrite, and the GPU."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from prefect.concurrency.sync import concurrency

LOCK = Path(".dvc/tmp/remint-workspace.lock")


class CheckoutBusyError(RuntimeError):
    """Another flow run works in this checkout."""


@contextmanager
def checkout(root: Path, who: str, run_id: str = "") -> Iterator[str]:
    """Hold the checkout at `root` for `who` while the block runs; a dead holder holds nothing.

    Yields the id of the run that held it before, where that was killed and could tell nobody, else
    "". Raises CheckoutBusyError, which names the holder, where another run holds it: a FileLock
    does not know who holds it, so the holder writes that into the file, which filelock leaves as it
    is, and takes it out at its end.
    """
    path = root / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(path).acquire(blocking=False)
    except Timeout:
        raise CheckoutBusyError(
            f"this checkout is in use by {_lines(path)[0] or 'another flow run'}; "
            "start again when it has ended, or run in another clone"
        ) from None
    with held:
        killed = _lines(path)[1]
        path.write_text(f"flow run {who} (process {os.getpid()})\n{run_id}\n", encoding="utf-8")
        try:
            yield killed
        finally:
            path.write_text("", encoding="utf-8")


def _lines(path: Path) -> list[str]:
    """Return the two lines of the file, who holds it and the run's id, "" where it has fewer."""
    return [*path.read_text("utf-8").split("\n"), "", ""][:2]


@contextmanager
def gpu(needed: bool) -> Iterator[None]:
    """Wait for a turn under the limit "gpu"; a holder that is lost frees it within a minute."""
    if not needed:
        yield
        return
    with concurrency("gpu", lease_duration=60):
        yield
