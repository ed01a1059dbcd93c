"""One training at a time on a GPU and in a folder, and none that outlives who started it."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType

import psutil
from filelock import FileLock, Timeout

from remint.training.loop import Interrupted
from tasks.stage.console import say

WATCH = "REMINT_WATCH_PID"  # set by whoever starts a stage in a process group of its own
SECONDS_BETWEEN_LOOKS = 2.0


@contextmanager
def alone(
    folder: Path, gpu: bool, stop_reason: Callable[[], str | None] = lambda: None
) -> Iterator[None]:
    """Hold the folder, and this machine's GPU if one is used, until the block ends.

    Raises ValueError when another training writes to the folder; waits for the GPU and says so,
    and raises Interrupted when it is asked to stop meanwhile.
    The locks are the kernel's: they go with the process, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(folder / "lock").acquire(blocking=False)
    except Timeout:
        raise ValueError(
            f"{folder} is being trained in by another process; wait for it, or stop it"
        ) from None
    with held, _gpu(stop_reason) if gpu else nullcontext():
        yield


def _gpu(stop_reason: Callable[[], str | None]) -> AbstractContextManager[object]:
    """Wait for the GPU; every user of this machine may take its lock."""
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "0").replace("/", "_")
    path = Path(tempfile.gettempdir()) / f"remint-gpu-{device}.lock"
    lock = FileLock(path, mode=0o666)
    with suppress(Timeout):
        return lock.acquire(blocking=False)
    say(f"waiting for the GPU: another training holds {path}")
    try:
        return lock.acquire(poll_interval=0.5, cancel_check=lambda: stop_reason() is not None)
    except Timeout:
        raise Interrupted(f"stopped while waiting for the GPU: {stop_reason()}") from None


@contextmanager
def interruptible(stage: str) -> Iterator[Callable[[], str | None]]:
    """Yield `stop_reasons`' function; a training that stops for it ends the process with 143."""
    try:
        with stop_reasons() as stop_reason:
            yield stop_reason
    except Interrupted as reason:
        say(f"{stage}: {reason}; the same command continues from there")
        raise SystemExit(128 + signal.SIGTERM) from None


@contextmanager
def stop_reasons() -> Iterator[Callable[[], str | None]]:
    """Yield a function that tells why to stop, or None: SIGTERM, SIGINT, or a parent that is gone.

    Parents are the ancestors up to `dvc`, where DVC started this, and the process named by
    REMINT_WATCH_PID. Shells further up may end: `make run &` outlives its terminal.
    """
    reasons: list[str] = []

    def receive(number: int, frame: FrameType | None) -> None:
        reasons.append(f"{signal.Signals(number).name} received")

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, receive) for number in numbers]
    parents = _parents()
    looked = time.monotonic()

    def reason() -> str | None:
        nonlocal looked
        if time.monotonic() - looked > SECONDS_BETWEEN_LOOKS:
            looked = time.monotonic()
            if not all(_lives(parent) for parent in parents):
                reasons.append("the process that started this training is gone")
        return reasons[0] if reasons else None

    try:
        yield reason
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _parents() -> list[psutil.Process]:
    ancestors = psutil.Process().parents()
    dvc = next((n for n, process in enumerate(ancestors) if _is_dvc(process)), -1)
    watched = os.environ.get(WATCH, "")
    named = (
        [psutil.Process(int(watched))]
        if watched.isdigit() and psutil.pid_exists(int(watched))
        else []
    )
    return [*ancestors[: dvc + 1], *named]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_dvc(process: psutil.Process) -> bool:
    try:
        return any(Path(word).name == "dvc" for word in process.cmdline()[:3])
    except psutil.Error:
        return False
