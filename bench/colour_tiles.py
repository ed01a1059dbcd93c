"""Colour at 32 px, from images to verdict: `python -m bench.colour_tiles`.

The free photographs (../shared/data, or REMINT_BENCH_DATA) are cut into 16 parts each; a class is a
photograph, an image a tile of 32 px. A generator learns them for `--minutes` on one thread and
mints; its images are measured beside real ones, and a classifier is taught by them. Printed are the
figures of the stages evaluate_generator and evaluate_synthetic; the pages' pictures stay in
`--folder`.
"""

import json
from pathlib import Path
from typing import Any

from PIL import Image

from bench.minted import minted_and_used
from bench.processes import ROOT, found, judge, run_stage
from tasks.commands import presets

LONGEST, ALONG = 640, 4  # px of a photograph; parts along either side
SIZE = 32


def main() -> None:
    """Cut, train, mint and judge; see --help."""
    judge(__doc__, 8.0, judged)


def judged(folder: Path, minutes: float) -> str:
    """Go from photographs to the stages' figures, and return them as lines of text."""
    cut(found("free-photos"), folder / "parts")
    params = _params(folder / "params.yaml", minutes)
    clean, model = folder / "clean", folder / "model"
    run_stage("ingest", params, folder / "parts", clean, folder / "ingest")
    run_stage("train_generator", params, clean, model)
    run_stage("evaluate_generator", params, model, clean, folder / "figures")
    used = minted_and_used(params, model, clean, folder)
    figures = json.loads((folder / "figures/metrics.json").read_text())
    told = json.loads((used / "utility.json").read_text())
    lines = [f"{name}: {value:.4g}" for name, value in figures.items() if value is not None]
    return "\n".join([*lines, *(row["text"] for row in [*told["gaps"], *told["verdicts"]])])


def cut(photographs: Path, folder: Path) -> None:
    """Write the parts of every photograph into a folder of its name."""
    for path in sorted(photographs.glob("*.jpg")):
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((LONGEST, LONGEST))
        (folder / path.stem).mkdir(parents=True)
        width, height = picture.width // ALONG, picture.height // ALONG
        for part in range(ALONG**2):
            left, top = part % ALONG * width, part // ALONG * height
            crop = picture.crop((left, top, left + width, top + height))
            crop.save(folder / path.stem / f"{part:02d}.png")


def _params(path: Path, minutes: float) -> Path:
    path.write_text((ROOT / "params.yaml").read_text())
    values: dict[str, dict[str, Any]] = {
        "ingest": {
            "source": "folder",
            "name": "",
            "fit": "tiles",
            "size": SIZE,
            "colour": "colour",
        },
        "train_generator": {
            "budget": {"images": None, "minutes": minutes},
            "data": {"flip": True},
            "snapshots": {"every": 10**9, "probe": None, "select": "kid"},
        },
        "export_synthetic": {"per_class": 100, "formats": ["set"]},
    }
    presets.change(path, values)
    return path


if __name__ == "__main__":
    main()
