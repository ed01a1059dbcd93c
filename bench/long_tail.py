"""Do minted images help rare classes? `python -m bench.long_tail`, on images whose answer is known.

The training images of Fashion-MNIST (../shared/data, or REMINT_BENCH_DATA) are thinned from 1,000
of the first class to 10 of the last, the validation images with them; all 10,000 test images stay.
A generator learns from what is left, every class equally often, mints until all classes have as
many images as the first, and the stage evaluate_synthetic judges. Printed is each arm's recall of
the three rarest classes, of all classes, and what the stage says of the rarest.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.minted import chosen, minted_and_used
from bench.processes import ROOT, found, judge, run_stage
from remint.images.imageset import ImageSet
from remint.utility.arms import ARMS
from tasks.commands import presets

MOST, LEAST, RAREST = 1000, 10, 3
VALIDATION = 0.2  # validation images for one of training, at least 2 of a class


def main() -> None:
    """Thin, train, mint and judge; see --help."""
    judge(__doc__, 10.0, judged)


def judged(folder: Path, minutes: float) -> str:
    """Go from images to the stage's report, and return what it says as lines of text."""
    params = _params(folder / "params.yaml", minutes)
    whole, clean, model = (folder / name for name in ("whole", "clean", "model"))
    run_stage("ingest", params, found("fashion-mnist"), whole, folder / "ingest")
    thin(ImageSet(whole), clean)
    run_stage("train_generator", params, clean, model)
    return table(minted_and_used(params, model, clean, folder))


def thin(whole: ImageSet, path: Path) -> None:
    """Write the set with its long tail: of class k of K, MOST * (LEAST / MOST)^(k / (K - 1))."""
    names = whole.class_names
    share = {k: (LEAST / MOST) ** (k / (len(names) - 1)) for k in range(len(names))}
    most = {
        (split, k): max(2, round(MOST * part * share[k]))
        for split, part in (("train", 1.0), ("val", VALIDATION))
        for k in share
    }

    def wanted(row: Mapping[Any, Any], seen: int) -> bool:
        return row["split"] == "test" or seen < most[row["split"], row["label"]]

    chosen(whole, path, wanted)


def _params(path: Path, minutes: float) -> Path:
    path.write_text((ROOT / "params.yaml").read_text())
    presets.apply_preset("fashion", path)
    trained: dict[str, Any] = {
        "budget": {"images": None, "minutes": minutes},
        "data": {"balanced": True},
        "snapshots": {"every": 10**9, "probe": None, "select": "kid"},
    }
    exported = {"balance": True, "per_class": 0, "formats": ["set"]}
    presets.change(path, {"train_generator": trained, "export_synthetic": exported})
    return path


def table(report: Path) -> str:
    """Return the arms' recall as lines of text, and what is said of the rarest classes."""
    frame = pd.read_csv(report / "by_class.csv")
    rare = frame.nsmallest(RAREST, "real_images")
    lines = [f"{'arm':44} {'of the rarest, %':>16} {'of all, %':>10}"]
    for arm, about in ARMS.items():
        column = f"recall_{arm}"
        if frame[column].notna().any():
            means = 100 * rare[column].mean(), 100 * frame[column].mean()
            lines.append(f"{about.title:44} {means[0]:16.1f} {means[1]:10.1f}")
    told = json.loads((report / "utility.json").read_text())["classes"]
    names = set(rare["class"])
    return "\n".join([*lines, *(row["text"] for row in told if row["class"] in names)])


if __name__ == "__main__":
    main()
