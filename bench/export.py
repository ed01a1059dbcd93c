"""Speed and peak memory of an export into each format as it grows.

    python -m bench.export [--counts 1000 10000 100000]

Images are 28 x 28 grey noise drawn at once in place of a generator, so that the figures are of the
export alone: exact duplicates looked for, PNG encoded and marked, hashed, written with manifest and
rejected.csv, flushed to disk and renamed. `filtered` writes the image set and has all filters but
the classifier ask 3,000 training images. Each measurement is a process of its own, with one thread;
seconds do not count imports. `added` is the highest memory (Pss, Linux only) less what stood there
when imports were done.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.processes import MIB, watched
from remint.classifier.teacher import TeacherConfig
from remint.export.card import PapersConfig
from remint.export.export import export
from remint.export.filters import FilterConfig
from remint.export.marking import SigningConfig
from remint.export.minting import ExportConfig, Format
from remint.export.reals import RealsConfig
from remint.images.imageset import ImageSet, Record, pixel_id, write

KINDS = ("set", "imagefolder", "webdataset", "filtered")
SIDE = 28
REAL = 3_000


class Noise:
    """Stands in for a generator: noise by the seeds, so that no time goes into networks."""

    channels, size, classes = 1, SIDE, 10
    fingerprint = "0" * 32

    def __init__(self, classes: int = 10) -> None:
        self.classes = classes
        self.class_names = [str(k) for k in range(classes)] if classes > 1 else []
        self.card: dict[str, Any] = {}

    def mint(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        shape = (len(seeds), SIDE, SIDE, 1)
        return np.random.default_rng(int(seeds[0])).integers(0, 256, shape, dtype=np.uint8)

    def logits(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        return images.mean((1, 2, 3)).astype(np.float32)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every format at every count, or be the measured process when --kind is given."""
    given = _parser().parse_args(argv)
    if given.kind:
        print(json.dumps(_work(given.kind, given.counts[0], given.folder)))
        return
    print("format        images   seconds  images/s  peak MiB  added MiB", flush=True)
    for kind in KINDS:
        for count in given.counts:
            with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                print(_measured(kind, count, Path(folder)), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.export", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder if absent")
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    return parser


def _work(kind: str, count: int, folder: Path) -> float:
    minter, clean, config = Noise(), None, _config(kind, count)
    if kind == "filtered":
        minter = Noise(classes=1)  # without labels there is no classifier to train
        clean = _clean(minter, folder / "clean")
    print("ready", flush=True)
    start = time.monotonic()
    export(minter, clean, config, folder / "out", [])
    return time.monotonic() - start


def _config(kind: str, count: int) -> ExportConfig:
    filtered = kind == "filtered"
    formats: tuple[Format, ...] = ("set",) if filtered else (kind,)  # type: ignore[assignment]
    share = 0.005 if filtered else None
    return ExportConfig(
        seed=1,
        device="cpu",
        classes=(),
        per_class=count if filtered else count // 10,
        balance=False,
        attempts=2.0,
        formats=formats,
        filters=FilterConfig(1.0, True, None, 0.1 if filtered else None, share, share),
        reals=RealsConfig(0.08, TeacherConfig(1, 2, 1e-3, 1, 1, 1, 0.1, "none"), 2),
        shard_megabytes=256,
        c2pa=SigningConfig("", "", "es256"),
        papers=PapersConfig("unknown", ""),
    )


def _clean(minter: Noise, path: Path) -> ImageSet:
    images = minter.mint(np.zeros(REAL, np.int64), np.arange(REAL))
    records = [Record(pixel_id(image), image, "train", "noise") for image in images]
    write(path, records, metadata={"class_names": [], "channels": 1, "created": {}})
    return ImageSet(path)


def _measured(kind: str, count: int, folder: Path) -> str:
    given = "--kind", kind, "--folder", folder, "--counts", count
    seen = watched("bench.export", *given, env={"OMP_NUM_THREADS": "1"})
    seconds = float(seen.told)
    memory = f"{seen.peak / MIB:10.0f}{(seen.peak - seen.base) / MIB:11.0f}"
    return f"{kind:12}{count:8,}{seconds:10.1f}{count / seconds:10.0f}{memory}"


if __name__ == "__main__":
    main()
