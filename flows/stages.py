"""Running commands, stages above all, each in a process group of its own that leaves nothing."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows import stale, tied
from tasks.stage.console import discreet

DVC = (sys.executable, "-m", "dvc")
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

    def __init__(self, stage: str, end: "End") -> None:
        """end: how the stage's dvc ended."""
        lines = "\n".join(end.tail)
        if end.timed_out:
            what = f"stage {stage} was ended: it took longer than its time limit"
        else:
            what = f"stage {stage} failed (dvc ended with {end.code})"
        super().__init__(f"{what}:\n{lines}")
        # A negative status is a signal, such as the kernel's when memory runs out; EX_TEMPFAIL is a
        # stage's word for a store or a site that was not to be reached.
        passing = re.search(rf"exited with (-\d+|137|143|{os.EX_TEMPFAIL})\b", lines)
        self.may_pass = bool(passing) and not end.timed_out


@dataclass(frozen=True)
class End:
    """How a command ended; tail: its last lines."""

    code: int
    tail: tuple[str, ...]
    timed_out: bool


@dataclass(frozen=True)
class Outcome:
    """How a stage ended that did not fail."""

    stage: str
    ran: bool  # False: nothing it depends on had changed, or DVC had the result already
    seconds: float


def run(
    name: str,
    context: Mapping[str, str],
    log: Callable[[str], None],
    root: Path,
    minutes: float | None = None,
) -> Outcome:
    """Bring stage `name` up to date; `-s` does not look upstream, so call stages in order.

    context: environment for the stage; log: takes each line as it is printed; minutes: limit. A
    stage that was changed while it ran is left stale. Raises StageError with the stage's last
    lines. However this ends, no process is left.
    """
    start, since, lines, changed = time.monotonic(), time.time(), [], []

    def note(line: str) -> None:
        if line.startswith(f"Running stage '{name}'"):
            lines.append(line)
        if stale.is_said(name, line):
            changed.append(line)
        log(line)

    # The flag stands before the subcommand: wait for a neighbour's lock instead of failing.
    command = [*DVC, "--wait-for-lock", "repro", "-s", name]
    end = follow(command, context, note, root, minutes)
    if end.code or end.timed_out:
        raise StageError(name, end)
    if changed:
        stale.leave(name, root, DVC, since)
        log(f"stage {name} is left stale: the next run does it again with what stands there now")
    return Outcome(name, bool(lines), time.monotonic() - start)


def follow(
    command: Sequence[str],
    context: Mapping[str, str],
    log: Callable[[str], None],
    root: Path,
    minutes: float | None = None,
) -> End:
    """Run a command to its end in a process group of its own, each line told to `log`.

    After `minutes` the group is ended; so it is when this is interrupted. Addresses are told
    without the passwords in them.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with _group(command, environment(context), root) as process, _limit(process, minutes) as hit:
        for line in _lines(process):
            tail.append(line)
            log(line)
        code = process.wait()
    return End(code, tuple(tail), hit.is_set())


@contextmanager
def _limit(process: subprocess.Popen[str], minutes: float | None) -> Iterator[threading.Event]:
    """Give an event that is set when the time was up and the group was ended."""
    hit = threading.Event()

    def end() -> None:
        hit.set()
        tied.end(process)

    timer = threading.Timer(60.0 * minutes, end) if minutes else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield hit
    finally:
        if timer:
            timer.cancel()


def end_in_order(status: int) -> None:
    """Let what ends this process from outside end what it started first, then exit with `status`.

    A terminal that closes ends it, too, but for a process that was told not to mind (nohup).
    """
    for sign in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(sign) is not signal.SIG_IGN:
            signal.signal(sign, lambda *_: sys.exit(status))


def unchanged(goals: Sequence[str], root: Path) -> bool:
    """Return whether DVC finds nothing to do for the goals and all they read from ([]: for all).

    One process, where a `repro` a stage would take one for each.
    """
    targets = ["--with-deps", *goals] if goals else []
    done = subprocess.run(
        [*DVC, "--wait-for-lock", "status", "--json", *targets],
        cwd=root,
        env=environment({}),
        capture_output=True,
        text=True,
    )
    return done.returncode == 0 and done.stdout.strip() == "{}"


def environment(context: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a stage: this Python first on the path, nobody phoned home."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**QUIET, **os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **context}


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() and not ADVICE.match(line):
            yield discreet(line.rstrip())


@contextmanager
def _group(
    command: Sequence[str], env: Mapping[str, str], root: Path
) -> Iterator[subprocess.Popen[str]]:
    process = tied.start(
        command,
        cwd=root,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with process:
        try:
            yield process
        finally:
            tied.end(process)
