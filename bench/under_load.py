"""The tests that docs/reliability.md names, on a machine that has far too much to do.

python -m bench.under_load [--load 8] [PYTEST ARGUMENT ...]

Busy processes keep the cores taken while the tests run: a promise that leans on a clock breaks
then. They end with this process, however it ends. The status is pytest's.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.processes import ROOT
from flows import stages, tied

PROMISES = ROOT / "docs/reliability.md"
BUSY = """
import os, sys
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        break
while True:
    pass
"""
SECONDS_TO_RISE = 300.0  # the average of a minute comes near its level in three
NEAR = 0.9  # of the load that was asked for: an average of the past never quite gets there


def promised(text: str) -> list[tuple[str, str]]:
    """Return file and function of every test that a page of promises names, each once.

    The function is "" where a whole file is named.
    """
    return list(dict.fromkeys(re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", text)))


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many processes at work while the block runs, or this process lives."""
    process = tied.start([sys.executable, "-ISc", BUSY, str(processes)], 1.0)
    try:
        yield
    finally:
        tied.end(process)


def risen(load: int, seconds: float = SECONDS_TO_RISE) -> float:
    """Return the load average of a minute once it shows `load`, or what it is after `seconds`."""
    deadline = time.monotonic() + seconds
    while (now := os.getloadavg()[0]) < NEAR * load and time.monotonic() < deadline:
        time.sleep(1)
    return now


def tested(tests: Sequence[str], record: Path) -> tuple[int, Mapping[str, int]]:
    """Run tests one after another; return pytest's status, and how many there were of each end."""
    command = [sys.executable, "-m", "pytest", *tests, f"--junitxml={record}"]
    env = {"OMP_NUM_THREADS": "1", **os.environ}
    with subprocess.Popen(command, cwd=ROOT, env=env) as process:
        try:
            status = process.wait()
        except BaseException:
            process.send_signal(signal.SIGINT)  # pytest ends what its tests started
            raise
    if not record.exists():
        return status, {}
    told = ElementTree.parse(record).getroot().find("testsuite")
    assert told is not None
    counts = {name: int(told.attrib[name]) for name in ("failures", "errors", "skipped")}
    return status, {"passed": int(told.attrib["tests"]) - sum(counts.values()), **counts}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the promises' tests under load, say how they ended; return pytest's status."""
    parser = argparse.ArgumentParser(prog="python -m bench.under_load", description=__doc__)
    parser.add_argument("--load", type=int, default=8, help="busy processes beside the tests")
    given, asked = parser.parse_known_args(argv)
    stages.end_in_order(143)  # the tests with it
    named = promised(PROMISES.read_text())
    tests = [f"tests/{file}::{test}" if test else f"tests/{file}" for file, test in named]
    with busy(given.load), tempfile.TemporaryDirectory() as folder:
        print(f"load average {risen(given.load):.1f}, {os.cpu_count()} cores", flush=True)
        begun = time.monotonic()
        status, counts = tested([*tests, *asked], Path(folder) / "record.xml")
        minutes = (time.monotonic() - begun) / 60
        ends = ", ".join(f"{count} {name}" for name, count in counts.items()) or "no test ended"
        print(f"{ends} in {minutes:.1f} minutes; load average {os.getloadavg()[0]:.1f}")
    return status


if __name__ == "__main__":
    sys.exit(main())
