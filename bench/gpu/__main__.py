"""Measure one thing on a GPU, or on a CPU at a tiny size: `python -m bench.gpu SUBCOMMAND`.

A day on a GPU: every subcommand with --out FOLDER/NAME.json, then `page FOLDER --out FILE.md`.
Each takes nine minutes at most on an H100. The exit status is 1 where a case failed. `remint`
alone is needed, nothing of the stages or their tools.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.gpu import equality, memory, ranks, speed
from bench.gpu.frame import Bench, Row, collected
from remint.core.device import pick_device

MEASURES: dict[str, Callable[[Bench], Iterable[Row]]] = {
    "parity": equality.parity,
    "resume": equality.resume,
    "precision": speed.precision,
    "compile": speed.compile_,
    "ranks": ranks.ranks,
    "feeding": speed.feeding,
    "memory": memory.memory,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand; return the exit status."""
    given = _parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(pick_device(given.device), given.tiny, Path(folder))
        result = collected(given.subcommand, MEASURES[given.subcommand], bench, given.out)
    return int(result.failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.gpu", description=__doc__.splitlines()[0])
    names = parser.add_subparsers(dest="subcommand", required=True)
    for name, measure in MEASURES.items():
        words = (measure.__doc__ or "").strip()
        one = names.add_parser(name, help=words.splitlines()[0], description=words)
        one.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
        one.add_argument("--tiny", action="store_true", help="seconds on a CPU, to see it run")
        one.add_argument("--out", type=Path, help="JSON file to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
