"""Stages as processes of their own that start at once: forked off a Python that has read them in.

Reading in torch and MLflow takes longer than the work of a tiny stage, and writes nothing.
"""

import importlib
import os
import resource
import runpy
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from tests.processes import LAST_SECONDS


class Warm:
    """A Python with modules read in; one process of its own is at work at a time."""

    def __init__(self, *modules: str) -> None:
        """modules: in the order in which they are read in; MLflow comes after what sets it up."""
        self.line, theirs = Pipe()
        command = [sys.executable, "-m", "tests.warm", str(theirs.fileno()), *modules]
        root = Path(__file__).parents[1]
        self.parent = subprocess.Popen(command, cwd=root, pass_fds=[theirs.fileno()])
        theirs.close()

    def start(self, command: Sequence[str], folder: Path, log: Path, largest: int = -1) -> int:
        """Run MODULE ARGUMENTS in a folder and a session of its own; return the process.

        log: is added what it says; largest: bytes that a file may have, -1: as many as it likes.
        """
        self.line.send((command, str(folder), str(log), largest))
        return int(self.line.recv())

    def ended_within(self, seconds: float) -> bool:
        """Return whether what was started last ends so soon."""
        return self.line.poll(seconds)

    def status(self) -> int:
        """Wait for the end of what was started last; return its status."""
        assert self.ended_within(LAST_SECONDS), "it does not end"
        return int(self.line.recv())

    def close(self) -> None:
        """End it; what it had started has ended."""
        self.line.close()
        self.parent.wait()


def main(line: Connection, modules: Sequence[str]) -> None:
    """Read in the modules, then fork for each order, and tell its process and its status."""
    for name in (*modules, "torch._dynamo"):  # which the first optimiser reads in, for 2 s
        importlib.import_module(name)
    while True:
        try:
            command, folder, log, largest = line.recv()
        except EOFError:
            return
        ready, begun = os.pipe()
        pid = os.fork()
        if not pid:
            line.close()
            _become(folder, log, begun)
            if largest >= 0:
                most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest, most))
            return _run(*command)
        os.close(begun)
        os.read(ready, 1)
        os.close(ready)
        line.send(pid)
        line.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _become(folder: str, log: str, begun: int) -> None:
    """Leave the session, the folder and the streams of the parent, then close `begun`."""
    os.setsid()
    os.chdir(folder)
    nothing, said = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644),
    )
    for given, stream in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(given, stream)
    for used in (nothing, said, begun):
        os.close(used)


def _run(module: str, *arguments: str) -> None:
    """Be `python -m MODULE ARGUMENTS`."""
    sys.modules.pop(module, None)  # runpy reads it in again, as the main module
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])), sys.argv[2:])
