"""A command that is called discreetly ends as it would alone, and nothing that it says is lost."""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.processes import MARK, Spawner

DISCREETLY = (sys.executable, "-m", "flows.discreetly")
SIZE = 120_000  # more than one pipe takes


def all_that_comes(ours: int) -> bytes:
    said = b""
    with suppress(OSError):  # the end of a terminal
        while block := os.read(ours, SIZE):
            said += block
    os.close(ours)
    return said


def test_what_the_command_leaves_in_the_background_is_not_waited_for(
    tmp_path: Path, spawn: Spawner
) -> None:
    script = "sleep 60 & echo http://a:secret@b; exit 3"
    child = spawn([*DISCREETLY, "/bin/sh", "-c", script], tmp_path / "log")
    assert child.end() == 3 and child.said() == "http://***@b\n"
    assert spawn.left()


def test_who_writes_on_in_the_background_does_not_keep_it_from_its_end(
    tmp_path: Path, spawn: Spawner
) -> None:
    script = "timeout 60 yes & while sleep 0.02; do echo; done & exit 3"
    begun = time.monotonic()
    assert spawn([*DISCREETLY, "/bin/sh", "-c", script], tmp_path / "log").end() == 3
    assert time.monotonic() - begun < 50


@pytest.mark.parametrize("channel", [os.pipe, pty.openpty], ids=["pipe", "terminal"])
def test_a_slow_reader_gets_all_that_the_command_wrote(
    channel: Callable[[], tuple[int, int]], spawn: Spawner
) -> None:
    ours, given = channel()
    script = f"sleep 60 2>/dev/null & head -c {SIZE} /dev/zero; exit 3"
    command = [*DISCREETLY, "/bin/sh", "-c", script]
    with subprocess.Popen(command, stdout=given, env={**os.environ, MARK: spawn.mark}) as process:
        os.close(given)
        time.sleep(2)
        assert all_that_comes(ours) == bytes(SIZE)
    assert process.returncode == 3


def test_an_output_that_does_not_block_gets_everything() -> None:
    ours, given = os.pipe()
    os.set_blocking(given, False)
    command = [*DISCREETLY, "head", "-c", f"{3 * SIZE}", "/dev/zero"]
    with subprocess.Popen(command, stdout=given) as process:
        os.close(given)
        time.sleep(1)
        assert all_that_comes(ours) == bytes(3 * SIZE)
    assert process.returncode == 0


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_keeps_nothing_from_running(closed: str) -> None:
    shell = ["/bin/sh", "-c", f'"$@" {closed}', "sh"]
    command = [*DISCREETLY, "/bin/sh", "-c", "echo out; echo err >&2; exit 4"]
    done = subprocess.run([*shell, *command], capture_output=True, text=True)
    assert done.returncode == 4
    assert done.stdout == ("out\n" if closed == "2>&-" else "")
    assert done.stderr == ("err\n" if closed == ">&-" else "")


@pytest.mark.parametrize(("name", "status"), [("http://a:secret@b", 127), (os.sep, 126)])
def test_a_command_that_cannot_be_started_is_told_in_a_sentence(name: str, status: int) -> None:
    done = subprocess.run([*DISCREETLY, name], capture_output=True, text=True)
    assert done.returncode == status and "secret" not in done.stderr
    assert done.stderr.startswith("error: can't start ") and done.stderr.count("\n") == 1
