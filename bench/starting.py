"""Does a training begun from the models that come with Remint save time? `python -m bench.starting`

The preset `folder` on two sets of one's own kind: the photographs of BSDS500 (../shared/data, or
REMINT_BENCH_DATA) and drawn scans of printed pages. Each is trained from fresh weights for
`--minutes` and, from them and from the shipped model, for a sixth of that, on one thread, without
the adversarial stage, from fresh weights at twice the preset's rates; all are measured on the same
held-out pairs. Minutes are of training alone.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.processes import DATA, ROOT, run_stage
from remint.core.randomness import generator
from remint.restorer import shipped
from tasks.commands import presets

NETWORK = {"name": "plain_unet", "width": 64, "encoder": [2], "middle": 2, "stem": 2, "depth": 3}
FRESH = {"rate": 1.0e-3, "muon": 3.0e-3}  # what fresh weights want, twice the preset's
PAGES, SIDE = 60, 384
FACES = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)


def main() -> None:
    """Train and measure; see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="from fresh weights")
    parser.add_argument("--only", choices=["bsds500", "pages"], help="one of the two sets")
    parser.add_argument("--limit", type=int, default=120, help="pictures of a set")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, images in _sets(Path(folder)).items():
            if given.only not in (None, name):
                continue
            _compare(name, images, Path(folder) / name, given.minutes, given.limit)


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


def _compare(name: str, images: Path, folder: Path, minutes: float, limit: int) -> None:
    folder.mkdir(parents=True)
    runs: dict[str, tuple[str, float, dict[str, Any]]] = {
        "fresh": ("none", minutes, FRESH),
        "briefly": ("none", minutes / 6, FRESH),
        "shipped": ("shipped", minutes / 6, {}),
    }
    for start, (model, budget, rates) in runs.items():
        params = _params(folder / f"{start}.yaml", model, budget, rates, limit)
        if start == "fresh":
            run_stage("ingest", params, images, folder / "clean", folder / "ingest")
            run_stage("corrupt", params, folder / "clean", folder / "corrupted")
        pair, at = (folder / "clean", folder / "corrupted"), folder / start
        run_stage("train_restorer", params, *pair, at, "--start", shipped.FOLDER)
        run_stage(
            "evaluate_restorer", params, at, *pair, folder / f"{start}-report", folder / "out"
        )
        figures = json.loads((folder / f"{start}-report/metrics.json").read_text())
        seen = json.loads((at / "restorer.json").read_text())["images_seen"]
        gain = f"{figures['psnr_input']:.2f} -> {figures['psnr']:.2f} dB"
        print(f"{name:8} {start:8} {budget:5.1f} min, {seen:7,} crops: {gain}", flush=True)


def _params(path: Path, model: str, minutes: float, rates: dict[str, Any], limit: int) -> Path:
    path.write_text((ROOT / "params.yaml").read_text())
    presets.apply_preset("folder", path)
    fidelity = {"budget": {"images": None, "minutes": minutes}, "optimiser": rates}
    trained = {
        **{"threads": 1, "network": NETWORK, "start": {"model": model}, "fidelity": fidelity},
        **{"adversarial": None, "default_interpolation": 0.0, "doubt": None},
    }
    measured = {"tuning_images": 0, "gallery": 1, "features": {"images": 0}}
    source = {"limit": limit, "colour": "grey"}
    values = {"ingest": source, "train_restorer": trained, "evaluate_restorer": measured}
    presets.change(path, values)
    return path


if __name__ == "__main__":
    main()
