"""Running one stage: `dvc repro` of that stage alone, in a process group of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

DVC = (sys.executable, "-m", "dvc")
GRACE_SECONDS = 20.0  # for a training that saves before it ends; Prefect kills a flow after 30
TAIL_LINES = 15
# DVC's advice on what to type next: of no use to a flow.
ADVICE = re.compile(r"To (track the changes|enable auto)|\s+(git add|dvc config)|Use `dvc push`")
QUIET = {
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PYTHONUNBUFFERED": "1",
}


class StageError(RuntimeError):
    """A stage did not end well; the message carries its last lines."""

    def __init__(self, stage: str, code: int, tail: str) -> None:
        """code: exit status of dvc; tail: the last lines of the stage."""
        super().__init__(f"stage {stage} failed (dvc ended with {code}):\n{tail}")
        # A negative status is a signal, such as the kernel's when memory runs out.
        self.killed = bool(re.search(r"exited with (-\d+|137|143)\b", tail))


@dataclass(frozen=True)
class Outcome:
    """How a stage ended that did not fail."""

    stage: str
    ran: bool  # False: nothing it depends on had changed, or DVC had the result already
    seconds: float


def run(name: str, context: Mapping[str, str], log: Callable[[str], None], root: Path) -> Outcome:
    """Bring stage `name` up to date; `-s` does not look upstream, so call stages in order.

    context: environment for the stage; log: takes each line as it is printed. Raises StageError
    with the stage's last lines. However this ends, no process of the stage is left.
    """
    start, ran = time.monotonic(), False
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    # The flag stands before the subcommand: wait for a neighbour's lock instead of failing.
    command = [*DVC, "--wait-for-lock", "repro", "-s", name]
    with _group(command, environment(context), root) as process:
        for line in _lines(process):
            ran = ran or line.startswith(f"Running stage '{name}'")
            tail.append(line)
            log(line)
        code = process.wait()
    if code:
        raise StageError(name, code, "\n".join(tail))
    return Outcome(name, ran, time.monotonic() - start)


def environment(context: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a stage: this Python first on the path, nobody phoned home."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**QUIET, **os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **context}


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() and not ADVICE.match(line):
            yield line.rstrip()


@contextmanager
def _group(
    command: list[str], env: Mapping[str, str], root: Path
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        cwd=root,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            end_group(process)


def end_group(process: subprocess.Popen[str]) -> None:
    """End every process of the group: SIGTERM, so that a training saves, then SIGKILL."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        if _gone(process, GRACE_SECONDS):
            return


def _gone(process: subprocess.Popen[str], seconds: float) -> bool:
    """Wait until no process of the group is left, `seconds` at most."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process.poll()  # reaps the leader, which would count as a member
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
