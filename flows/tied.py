"""Commands that end with whoever started them, however that ends.

A keeper stands between the two. It reads from a pipe that the starter alone holds open, so it hears
also of a SIGKILL, and then ends every process of the command's group. Both have sessions of their
own: what a terminal sends, Ctrl-C or its own end, reaches the starter alone, who ends the rest in
order. The keeper is this file as a program, of the standard library alone.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakSet

GRACE_SECONDS = 20.0  # for a training that saves before it ends; Prefect kills a flow after 30
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_started: WeakSet[subprocess.Popen[Any]] = WeakSet()


def start(
    command: Sequence[str], seconds: float = GRACE_SECONDS, **options: Any
) -> subprocess.Popen[Any]:
    """Start a command whose group ends with this process; its status is the keeper's.

    seconds: how long it may take to end when it is asked to; options: those of Popen, but for
    stdin. A command that a signal ended has the status 128 + the signal, as in a shell.
    """
    keeper = [sys.executable, "-IS", __file__, str(seconds), *command]
    process = subprocess.Popen(keeper, stdin=subprocess.PIPE, start_new_session=True, **options)
    _started.add(process)
    return process


def end(process: subprocess.Popen[Any]) -> None:
    """End every process of the command's group: SIGTERM, so that a training saves, then SIGKILL."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def end_all() -> None:
    """End what this process has started and nobody has ended yet, all at the same time."""
    running = [process for process in _started if process.returncode is None]
    for process in running:
        assert process.stdin is not None
        process.stdin.close()
    for process in running:
        process.wait()


def keep(seconds: float, command: Sequence[str]) -> int:
    """Run a command until it ends, or is to end; return its status when no process is left."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    for sign in ENDING:
        signal.signal(sign, _leave)
    threading.Thread(target=_leave_when_alone, daemon=True).start()
    try:
        code = child.wait()
    finally:
        _end_group(child, seconds)
    return code if code >= 0 else 128 - code


def _leave(*_: object) -> None:
    for sign in ENDING:
        signal.signal(sign, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _leave_when_alone() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing is ever written: this returns at the pipe's end
    os.kill(os.getpid(), signal.SIGTERM)


def _end_group(process: subprocess.Popen[Any], seconds: float) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        if _gone(process, seconds):
            return


def _gone(process: subprocess.Popen[Any], seconds: float) -> bool:
    """Wait until no process of the group is left, `seconds` at most."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process.poll()  # reaps the leader, which would count as a member
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


if __name__ == "__main__":
    sys.exit(keep(float(sys.argv[1]), sys.argv[2:]))
