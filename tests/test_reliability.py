"""The claim that docs/reliability.md names tests which exist, and how they run under load."""

import re
import signal
import sys
from pathlib import Path

from bench import under_load
from tests.processes import Spawner, wait_until

STARTER = """
import time
from bench import under_load
with under_load.busy(3):
    print("busy", flush=True)
    time.sleep(600)
"""


def test_every_promise_names_a_test_that_exists(root: Path) -> None:
    named = under_load.promised((root / "docs/reliability.md").read_text())
    assert len(named) > 40
    for file, test in named:
        source = (root / "tests" / file).read_text()
        assert f"def {test}(" in source if test else source, f"{file}::{test}"


def test_every_promise_is_shown_by_something(root: Path) -> None:
    text = (root / "docs/reliability.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([^|]*) \|", text, re.MULTILINE)
    promises = [(promise, shown) for promise, shown in rows if promise != "promised"]
    assert len(promises) > 20
    assert all("test_" in shown for _, shown in promises)


def test_the_load_ends_with_who_made_it_however_that_ends(
    tmp_path: Path, root: Path, spawn: Spawner
) -> None:
    made = spawn([sys.executable, "-c", STARTER], tmp_path / "log", cwd=root)
    made.until("busy")
    wait_until(lambda: len(spawn.left()) == 5, "three at work, their keeper and their maker")
    made.process.send_signal(signal.SIGKILL)
    wait_until(lambda: not spawn.left(), "something is left")


def test_what_is_told_of_a_run_is_pytests_own(tmp_path: Path) -> None:
    (tests := tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n"
        "def test_c(): pytest.skip('not here')\n"
    )
    status, counts = under_load.tested([str(tests)], tmp_path / "record.xml")
    assert status == 1
    assert counts == {"passed": 1, "failures": 1, "errors": 0, "skipped": 1}
