"""Time and peak memory of ingest and corrupt as a set grows, on Fashion-MNIST.

    python -m bench.image_sets [--counts 1000 10000 60000] [--workers 2]

Each measurement is a process of its own. Seconds are those of the work, imports not counted; memory
is the largest sum over the process and its workers of their proportional set size (shared pages
counted once), read from /proc every 50 ms (Linux only). `added` is that sum less what stood there
when imports were done: it should not grow with the set. corrupt stores one training draw an image
and the evaluation slices of params.yaml. The IDX files are read from ../shared/data/fashion-mnist,
or from $REMINT_BENCH_DATA/fashion-mnist.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.processes import MIB, ROOT, found, watched
from remint.corruptions.config import CorruptConfig
from remint.images import imageset
from remint.ingest.census import Census
from remint.ingest.config import IngestConfig
from remint.ingest.ingesting import ingest
from remint.ingest.items import limited
from remint.ingest.sources import open_source
from tasks.corrupt import make_corrupted
from tasks.stage.params import load

STEPS = ("ingest", "corrupt")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every step at every count, or be the measured process when --step is given."""
    given = _parser().parse_args(argv)
    if given.step:
        print(json.dumps(_work(given.step, given.counts[0], given.workers, given.folder)))
        return
    found("fashion-mnist")
    print("step      images      rows   seconds  ms/row  peak MiB  added MiB", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for count in given.counts:
            for step in STEPS:
                print(_measured(step, count, given.workers, Path(folder) / str(count)), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.image_sets", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 60_000])
    parser.add_argument("--workers", type=int, default=2, help="processes, 0 for one a core")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser


def _work(step: str, count: int, workers: int, folder: Path) -> dict[str, float]:
    print("ready", flush=True)
    start = time.monotonic()
    if step == "ingest":
        rows = _ingest(count, workers, folder / "clean")
    else:
        rows = _corrupt(workers, folder / "clean", folder / "corrupted")
    return {"rows": rows, "seconds": time.monotonic() - start}


def _ingest(count: int, workers: int, clean: Path) -> int:
    base = load("ingest", IngestConfig, ROOT / "params.yaml")
    config = replace(base, source="torchvision", name="FashionMNIST", size=28, workers=workers)
    source = open_source("torchvision", found("fashion-mnist"), config.settings)
    return ingest(limited(source, count), config, clean, Census())


def _corrupt(workers: int, clean: Path, corrupted: Path) -> int:
    base = load("corrupt", CorruptConfig, ROOT / "params.yaml")
    config = replace(base, training=replace(base.training, draws=1), workers=workers)
    return make_corrupted(imageset.ImageSet(clean), config, corrupted).total()


def _measured(step: str, count: int, workers: int, folder: Path) -> str:
    given = "--step", step, "--folder", folder, "--counts", count, "--workers", workers
    seen = watched("bench.image_sets", *given)
    rows, seconds = int(seen.told["rows"]), seen.told["seconds"]
    return (
        f"{step:8} {count:7,} {rows:9,} {seconds:9.1f} {1000 * seconds / rows:7.2f} "
        f"{seen.peak / MIB:9.0f} {(seen.peak - seen.base) / MIB:10.0f}"
    )


if __name__ == "__main__":
    main()
