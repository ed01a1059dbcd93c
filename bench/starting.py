"""Does a training begun from the models that come with Remint save time? `python -m bench.starting`

The preset `folder` on two sets of one's own kind: the photographs of BSDS500 (../shared/data, or
REMINT_BENCH_DATA) and drawn scans of printed pages. Each is trained from fresh weights for
`--minutes` and, from them and from the shipped model, for a sixth of that, on one thread, without
the adversarial stage, from fresh weights at twice the preset's rates; all are measured on the same
held-out pairs. Minutes are of training alone; with `--crops` training ends after as many instead.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from bench.processes import DATA, ROOT, run_stage
from remint.core.randomness import generator
from remint.restorer import shipped
from tasks.commands import presets

Values = dict[str, Any]
FRESH = {"rate": 1.0e-3, "muon": 3.0e-3}  # what fresh weights want, twice the preset's
# From which model, for which part of the minutes, at which rates
ARMS: dict[str, tuple[str, float, Values]] = {
    "fresh": ("none", 1, FRESH),
    "briefly": ("none", 1 / 6, FRESH),
    "shipped": ("shipped", 1 / 6, {}),
}
PAGES, SIDE = 60, 384
FACES = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)


def main() -> None:
    """Train and measure; see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="from fresh weights")
    parser.add_argument("--only", choices=["bsds500", "pages"], help="one of the two sets")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), help="which")
    parser.add_argument("--crops", type=int, help="of each arm, in place of minutes")
    parser.add_argument("--sharpening", type=int, help="orders of it; None: the preset's")
    parser.add_argument("--limit", type=int, default=120, help="pictures of a set")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, images in _sets(Path(folder)).items():
            if given.only not in (None, name):
                continue
            _compare(name, images, Path(folder) / name, given)


def _sets(folder: Path) -> dict[str, Path]:
    photographs = DATA / "bsds500/images"
    if not photographs.is_dir():
        print(f"{photographs} is not there: without photographs")
    found = {"bsds500": photographs} if photographs.is_dir() else {}
    return {**found, "pages": draw_pages(folder / "drawn")}


def draw_pages(folder: Path) -> Path:
    """Write pages of printed words, grey PNG files, and return their folder."""
    folder.mkdir(parents=True)
    for number in range(PAGES):
        stream = generator(0, "bench.pages", str(number))
        page = np.full((SIDE, SIDE), stream.integers(225, 250), np.uint8)
        size, face = stream.uniform(0.4, 0.9), FACES[number % len(FACES)]
        for line in range(int(30 * size), SIDE, int(44 * size)):
            letters = stream.integers(97, 123, 60).astype(np.uint8).tobytes().decode()
            words = " ".join(letters[k : k + int(stream.integers(3, 9))] for k in range(0, 60, 8))
            ink = int(stream.integers(10, 60))
            cv2.putText(page, words, (8, line), face, size, ink, 1, cv2.LINE_AA)
        cv2.imwrite(str(folder / f"{number:03d}.png"), cv2.GaussianBlur(page, (0, 0), 0.6))
    return folder


def _compare(name: str, images: Path, folder: Path, given: argparse.Namespace) -> None:
    folder.mkdir(parents=True)
    clean, corrupted = folder / "clean", folder / "corrupted"
    for start in given.arms:
        model, part, rates = ARMS[start]
        minutes = None if given.crops else given.minutes * part
        params = _params(folder / f"{start}.yaml", model, minutes, rates, given)
        if not clean.exists():
            run_stage("ingest", params, images, clean, folder / "ingest")
            run_stage("corrupt", params, clean, corrupted)
        at, report = folder / start, folder / f"{start}-report"
        run_stage("train_restorer", params, clean, corrupted, at, "--start", shipped.FOLDER)
        run_stage("evaluate_restorer", params, at, clean, corrupted, report, folder / "out")
        card = json.loads((at / "restorer.json").read_text())
        _tell(f"{name:8} {start:8} {card['images_seen']:7,} crops", report)


def _tell(what: str, report: Path) -> None:
    figures = json.loads((report / "metrics.json").read_text())
    slices = pd.read_csv(report / "slices.csv")
    print(f"{what}: {figures['psnr_input']:.2f} -> {figures['psnr']:.2f} dB", flush=True)
    named = zip(slices["kind"], slices["severity"], slices["psnr"], strict=True)
    print("  " + ", ".join(f"{kind} {level} {psnr:.1f}" for kind, level, psnr in named), flush=True)


def _params(
    path: Path, model: str, minutes: float | None, rates: Values, given: argparse.Namespace
) -> Path:
    path.write_text((ROOT / "params.yaml").read_text())
    presets.apply_preset("folder", path)
    fidelity = {"budget": {"images": given.crops, "minutes": minutes}, "optimiser": rates}
    trained: Values = {
        **{"threads": 1, "start": {"model": model}, "fidelity": fidelity},
        **{"adversarial": None, "default_interpolation": 0.0, "doubt": None},
    }
    if given.sharpening is not None:
        trained["network"] = {"sharpening": given.sharpening}
    measured = {"tuning_images": 0, "gallery": 1, "features": {"images": 0}}
    source = {"limit": given.limit, "colour": "grey"}
    values = {"ingest": source, "train_restorer": trained, "evaluate_restorer": measured}
    presets.change(path, values)
    return path


if __name__ == "__main__":
    main()
