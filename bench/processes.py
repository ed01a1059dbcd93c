"""What benches share: the image sets they find, and stages and steps in processes of their own."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("REMINT_BENCH_DATA", ROOT.parent / "shared/data"))
SECONDS_BETWEEN_LOOKS = 0.05
MIB = 2**20


def found(name: str) -> Path:
    """Return the folder of a real image set; SystemExit with what to set where there is none."""
    if not (folder := DATA / name).is_dir():
        raise SystemExit(f"error: there is no {folder}; set REMINT_BENCH_DATA")
    return folder


def judge(about: str | None, minutes: float, judged: Callable[[Path, float], str]) -> None:
    """Print what `judged` tells of minutes of training in a folder that is kept if it is named."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--minutes", type=float, default=minutes, help="of training, on one thread")
    parser.add_argument("--folder", type=Path, help="where to keep everything; none: nowhere")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print(judged(folder, given.minutes))


def run_stage(name: str, params: Path, *arguments: object) -> None:
    """Run a stage in a process of its own; SystemExit with what it said if it fails."""
    command = [sys.executable, "-m", f"tasks.{name}", *map(str, arguments), "--params", str(params)]
    store = f"sqlite:///{params.parent / 'mlflow.db'}"
    done = subprocess.run(
        command,
        cwd=params.parent,
        env={**os.environ, "MLFLOW_TRACKING_URI": store, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)


@dataclass(frozen=True)
class Watched:
    """What a step told, and bytes of memory: when its imports were done, and at most."""

    told: Any
    base: int
    peak: int


def watched(module: str, *arguments: object, env: Mapping[str, str] | None = None) -> Watched:
    """Run a bench's own step and watch its memory and that of all that it starts.

    The step prints "ready" when its imports are done, and JSON in its last line. SystemExit where
    it fails.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        base = peak = memory(process.pid)
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(SECONDS_BETWEEN_LOOKS)
        told = process.stdout.read()
    if process.returncode:
        sys.exit(f"error: {' '.join(command[2:])} ended with status {process.returncode}")
    return Watched(json.loads(told.splitlines()[-1]), base, peak)


def memory(pid: int) -> int:
    """Return the proportional set size of a process and all its descendants, in bytes."""
    total = 0
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += 1024 * int(line.split()[1])
        for thread in Path(f"/proc/{pid}/task").iterdir():
            total += sum(memory(int(child)) for child in (thread / "children").read_text().split())
    return total
