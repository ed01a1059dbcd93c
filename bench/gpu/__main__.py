"""Measure one thing on a GPU, or on a CPU at a tiny size: `python -m bench.gpu SUBCOMMAND`.

A day on a GPU: every subcommand with --out FOLDER/NAME.json, then `page FOLDER --out FILE.md`.
Each takes nine minutes at most on an H100. The exit status is 1 where a case failed. `remint`
alone is needed, nothing of the stages or their tools.
"""

import argparse
import inspect
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.gpu import equality, memory, quality, ranks, speed
from bench.gpu.frame import Bench, Row, collected
from bench.gpu.page import page
from remint.core.device import pick_device

MEASURES: dict[str, Callable[[Bench], Iterable[Row]]] = {
    "parity": equality.parity,
    "resume": equality.resume,
    "precision": speed.precision,
    "compile": speed.compile_,
    "ranks": ranks.ranks,
    "feeding": speed.feeding,
    "memory": memory.memory,
    "denoise": quality.denoise,
    "mint": quality.mint,
}
FOLDERS = {
    "denoise": {"pictures": "folder of pictures to train on", "test": "folder of Set12"},
    "mint": {"fashion": "folder of Fashion-MNIST's IDX files"},
}
ABOUTS = {name: inspect.getdoc(measure) or "" for name, measure in MEASURES.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand; return the exit status."""
    given = _parser().parse_args(argv)
    if given.subcommand == "page":
        given.out.write_text(page(given.folder, ABOUTS), encoding="utf-8")
        return 0
    of_one = ("pictures", "test", "fashion", "minutes", "batch")
    values: dict[str, Any] = {name: vars(given)[name] for name in of_one if name in given}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(pick_device(given.device), given.tiny, Path(folder))
        measure = MEASURES[given.subcommand]
        result = collected(given.subcommand, measure, replace(bench, **values), given.out)
    return int(result.failed)


def _parser() -> argparse.ArgumentParser:
    assert __doc__
    parser = argparse.ArgumentParser("python -m bench.gpu", description=__doc__.splitlines()[0])
    names = parser.add_subparsers(dest="subcommand", required=True)
    for name, about in ABOUTS.items():
        one = names.add_parser(name, help=about.splitlines()[0], description=about)
        one.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
        one.add_argument("--tiny", action="store_true", help="seconds on a CPU, to see it run")
        one.add_argument("--out", type=Path, help="JSON file to write")
        for folder, what in FOLDERS.get(name, {}).items():
            one.add_argument(f"--{folder}", type=Path, help=what)
        if name in FOLDERS:
            one.add_argument("--minutes", type=float, default=8.0, help="of training")
            one.add_argument("--batch", type=int, help="images a round")
    told = names.add_parser("page", help="One page of the results that lie in a folder.")
    told.add_argument("folder", type=Path, help="of the JSON files")
    told.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
