"""Of what tests start nothing stays behind, and nobody waits for what has ended."""

import sys
import time
from pathlib import Path

import pytest

from tests.processes import Spawner, wait_until

SHELL = ["/bin/sh", "-c", "setsid sleep 600 & setsid sh -c 'trap \"\" TERM; sleep 600' & wait"]


def test_what_a_test_starts_ends_with_it_in_whatever_session(tmp_path: Path) -> None:
    started, other = Spawner(), Spawner()
    other([sys.executable, "-c", "input()"], tmp_path / "other")
    started(SHELL, tmp_path / "log")
    wait_until(lambda: len(started.left()) == 4, "no processes")
    started.end()
    assert not started.left()
    other.end()


def test_a_wait_ends_with_the_process_and_tells_its_last_words(
    tmp_path: Path, spawn: Spawner
) -> None:
    begun = time.monotonic()
    child = spawn(["/bin/sh", "-c", "echo no memory; exit 1"], tmp_path / "log")
    with pytest.raises(AssertionError, match=r"(?s)no 'ready'.*no memory"):
        child.until("ready")
    assert time.monotonic() - begun < 60 and child.end() == 1


def test_what_is_said_last_counts(tmp_path: Path, spawn: Spawner) -> None:
    child = spawn(["/bin/sh", "-c", "echo ready"], tmp_path / "log")
    assert child.end() == 0
    child.until("ready")
