"""Thirty images of a class: does a generator of a larger set help? `python -m bench.transfer`

Fashion-MNIST (../shared/data, or REMINT_BENCH_DATA): seven classes with all their training images
are the larger set, the last three with RARE training images each are one's own. A generator learns
the larger set for `--minutes`; then two learn one's own set for a quarter of that, on one thread:
one from fresh weights, one from the first (`train_generator.start`). Both mint, and the stages
evaluate_generator and evaluate_synthetic measure them on the three classes' 3,000 test images.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.minted import chosen, minted_and_used
from bench.processes import ROOT, found, judge, run_stage
from remint.images.imageset import ImageSet
from tasks.commands import presets

CLASSES = 3  # of one's own set, the last ones of ten
RARE = {"train": 30, "val": 30}  # images of each of them
START = "start"
SHARE = 4  # minutes of the larger set for one of one's own
SHOWN = ("class_accuracy", "class_accuracy_real")  # the others need more real images


def main() -> None:
    """Train three generators and measure two; see --help."""
    judge(__doc__, 12.0, judged)


def judged(folder: Path, minutes: float) -> str:
    """Go from images to the figures of both generators, and return them as lines of text."""
    params = _params(folder / "params.yaml", minutes, "none")
    whole, larger, own = (folder / name for name in ("whole", "larger", "own"))
    run_stage("ingest", params, found("fashion-mnist"), whole, folder / "ingest")
    names = ImageSet(whole).class_names
    chosen(ImageSet(whole), larger, lambda row, _: row["label"] < len(names) - CLASSES)
    chosen(ImageSet(whole), own, lambda row, seen: _rare(row, seen, len(names)))
    run_stage("train_generator", params, larger, folder / START)
    return "\n".join(
        f"{name}: {line}"
        for name in ("none", START)
        for line in _measured(folder, own, name, minutes / SHARE)
    )


def _rare(row: Mapping[Any, Any], seen: int, classes: int) -> bool:
    return row["label"] >= classes - CLASSES and seen < RARE.get(row["split"], seen + 1)


def _measured(folder: Path, own: Path, start: str, minutes: float) -> list[str]:
    params = _params(folder / f"{start}.yaml", minutes, start)
    at = folder / f"from-{start}"
    model = at / "model"
    run_stage("train_generator", params, own, model, "--start", folder / START)
    run_stage("evaluate_generator", params, model, own, at / "figures")
    use = minted_and_used(params, model, own, at)
    figures = json.loads((at / "figures/metrics.json").read_text())
    told = json.loads((use / "utility.json").read_text())
    seen = json.loads((model / "generator.json").read_text())["images_seen"]
    shown = [f"{key} {figures[key]:.3g}" for key in SHOWN]
    lines = [*told["gaps"], *told["verdicts"]]
    return [f"{seen:,} images seen; {', '.join(shown)}", *(row["text"] for row in lines)]


def _params(path: Path, minutes: float, start: str) -> Path:
    path.write_text((ROOT / "params.yaml").read_text())
    presets.apply_preset("fashion", path)
    trained: dict[str, Any] = {
        "start": {"model": start},
        "threads": 1,
        "budget": {"images": None, "minutes": minutes},
        "snapshots": {"every": 10**9, "probe": None, "select": "kid"},
    }
    exported = {"per_class": 1000, "formats": ["set"]}
    presets.change(path, {"train_generator": trained, "export_synthetic": exported})
    return path


if __name__ == "__main__":
    main()
