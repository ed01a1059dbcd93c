"""Seconds from the start of a stage's process to the stage's own work.

python -m bench.start_up [--repeat 3] [--data data]

Needs the outputs of a default run (`make run`) under --data; they are read, never written. Each
stage is started as DVC starts it and ended where the block of its MLflow run begins: all that it
imports, its parameters, its sets and its model are loaded then. Printed: the median of wall-clock
and CPU seconds, both over all threads, and which heavy modules were imported by then.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

HEAVY = ("torch", "mlflow", "pandas", "scipy.stats", "sklearn", "mlcroissant", "matplotlib")
# Arguments after `python -m tasks.STAGE`; {data} is read, {out} is thrown away.
STAGES = {
    "ingest": "{data}/embedded {out}/clean {out}/ingest",
    "corrupt": "{data}/clean {out}/corrupted",
    "train_restorer": "{data}/clean {data}/corrupted {out}/restorer",
    "evaluate_restorer": "{data}/models/restorer {data}/clean {data}/corrupted {out}/r {out}/i",
    "train_generator": "{data}/clean {out}/generator",
    "evaluate_generator": "{data}/models/generator {data}/clean {out}/generator_report",
    "export_synthetic": "{data}/models/generator {data}/clean {out}/synthetic {out}/export",
    "evaluate_synthetic": "{data}/clean {data}/synthetic {out}/synthetic_report",
    "report": "{data}/reports/ingest {data}/reports/restorer {data}/models/restorer {out}/a.html",
}
CHILD = """
import json, os, runpy, sys, time
from contextlib import contextmanager

import tasks.tracking.runs as runs

opened = runs.stage_run

@contextmanager
def stage_run(*given):
    with opened(*given) as run:
        print(json.dumps([time.time(), time.process_time(), [m for m in %r if m in sys.modules]]))
        sys.stdout.flush()
        os._exit(0)
        yield run

runs.stage_run = stage_run
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def main() -> None:
    """Measure and print a row for every stage."""
    parser = argparse.ArgumentParser(prog="python -m bench.start_up", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="starts of each, after a first")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where the outputs lie")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        for stage, words in STAGES.items():
            command = [f"tasks.{stage}", *words.format(data=given.data, out=out).split()]
            starts = [started(command, Path(out)) for _ in range(given.repeat + 1)][1:]
            wall, cpu, heavy = zip(*starts, strict=True)
            print(f"{stage:<20} {median(wall):5.2f} s  CPU {median(cpu):5.2f} s  {heavy[0]}")


def started(command: list[str], out: Path) -> tuple[float, float, str]:
    """Start a stage once; return wall-clock and CPU seconds, and the heavy modules it has."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{out}/mlflow.db"}
    begun = time.time()
    done = subprocess.run(
        [sys.executable, "-c", CHILD % (HEAVY,), *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines or not lines[-1].startswith("["):
        raise SystemExit(f"error: {command[0]} did not start:\n{done.stdout}{done.stderr}")
    at, cpu, heavy = json.loads(lines[-1])
    return at - begun, cpu, " ".join(heavy)


if __name__ == "__main__":
    main()
