"""Processes that tests start: none outlives its test, and waiting follows what they say."""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

LAST_SECONDS = 900.0  # a busy machine takes its time; what will never come ends a wait much sooner
MARK = "REMINT_TEST"  # in the environment of all that a test starts, and of all that this starts


def wait_until(true: Callable[[], object], what: str, child: "Child | None" = None) -> None:
    """Return when something is true; fail when the process that should make it true has ended."""
    deadline = time.monotonic() + LAST_SECONDS
    while not true():
        ended = child is not None and child.process.poll() is not None
        if ended and true():  # it came true with the last that the process did
            return
        assert not ended, f"{what}: the process ended with {child.said()[-2000:]}"  # type: ignore[union-attr]
        assert time.monotonic() < deadline, f"{what}: not within {LAST_SECONDS:.0f} s"
        time.sleep(0.1)


class Child:
    """A process in a group of its own, whose output goes to a file."""

    def __init__(self, command: Sequence[str], log: Path, **options: Any) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                **options,
            )

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, words: str) -> None:
        """Wait until it has said these words."""
        wait_until(lambda: words in self.said(), f"no {words!r}", self)

    def end(self) -> int:
        """Wait for its end; return its status."""
        return self.process.wait(LAST_SECONDS)

    def kill(self) -> None:
        """End its group by SIGKILL."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Spawner:
    """Starts processes, and ends them with all that they started, in whatever session it is."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self.children: list[Child] = []

    def __call__(
        self,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Child:
        """Start a command; env: its whole environment (None: this process's)."""
        env = {**(os.environ if env is None else env), MARK: self.mark}
        self.children.append(Child(command, log, env=env, **options))
        return self.children[-1]

    def left(self) -> list[psutil.Process]:
        """Return the processes that are at work, started by this one's or by their children."""
        return [p for p in psutil.process_iter() if _environment(p).get(MARK) == self.mark]

    def end(self) -> None:
        """Kill all that is left."""
        while left := self.left():
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            for child in self.children:
                child.process.poll()  # reaps it
            psutil.wait_procs(left, timeout=1)
        for child in self.children:
            child.process.wait()


def ended_after() -> Iterator[Spawner]:
    """Give a fixture what starts processes, and end them all when the fixture ends."""
    spawner = Spawner()
    try:
        yield spawner
    finally:
        spawner.end()


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return {} if process.status() == psutil.STATUS_ZOMBIE else process.environ()
    except psutil.Error:
        return {}
