"""The preset `pairs` from files to figures, on scans that were made for it."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remint.core.randomness import generator
from remint.images.imagefile import encode_png
from remint.images.imageset import ImageSet
from remint.ingest.dead_leaves import draw_leaves
from tasks import corrupt, evaluate_restorer, ingest, train_restorer
from tasks.commands import presets

TINY = {
    "ingest": {
        "size": 32,
        "max_bad_share": 0.3,
        "shares": {"train": 0.6, "val": 0.2, "test": 0.2},
        "seed": 2,  # of sixteen pictures, some fall into each split
    },
    "corrupt": {"workers": 1},
    "train_restorer": {
        "device": "cpu",
        "threads": 1,
        "network": {"width": 8, "encoder": [1], "middle": 1},
        "discriminator": {"width": 8},
        "data": {"patch": 32, "batch": 8},
        "loss": {"perceptual_weight": 0.0},
        "fidelity": {"budget": {"images": 800}},
        "adversarial": None,
        "default_interpolation": 0.0,
        "loop": {"ema_half_life": 40.0, "log_every": 400},
    },
    "evaluate_restorer": {"resamples": 100, "gallery": 1, "features": {"images": 0}},
}


def scan(clean: np.ndarray, number: int) -> np.ndarray:
    """Return a picture as a tired scanner sees it: darker, with narrowed tones and noise."""
    noise = generator(0, "scan", str(number)).standard_normal(clean.shape)
    return np.clip(0.6 * clean + 8 * noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """Write sixteen scans: one of another page, one shifted; run ingest and corrupt on them."""
    folder = tmp_path_factory.mktemp("pairs")
    for half in ("clean", "damaged"):
        (folder / "raw" / half).mkdir(parents=True)
    for number in range(16):
        clean = draw_leaves(80, 1, number)
        damaged = scan(draw_leaves(80, 1, 99) if number == 3 else clean, number)
        damaged = np.roll(damaged, (4, -3), (0, 1)) if number == 5 else damaged
        (folder / "raw/clean" / f"{number:02}.png").write_bytes(encode_png(clean))
        (folder / "raw/damaged" / f"{number:02}.png").write_bytes(encode_png(damaged))
    settings = str(shutil.copy(root / "params.yaml", folder))
    presets.apply_preset("pairs", settings)
    presets.change(settings, TINY)
    run(folder, ingest, "raw", "clean", "reports/ingest")
    run(folder, corrupt, "clean", "corrupted")
    return folder


def run(folder: Path, stage: Any, *paths: str) -> None:
    stage.main([*(str(folder / path) for path in paths), "--params", str(folder / "params.yaml")])


def test_pairs_that_do_not_match_are_quarantined_with_the_figure(folder: Path) -> None:
    with (folder / "reports/ingest/quarantine.csv").open() as file:
        reasons = {row["source"]: row["reason"] for row in csv.DictReader(file)}
    assert set(reasons) == {"clean/03.png", "clean/05.png"}
    assert "another scene than its damaged half (correlation " in reasons["clean/03.png"]
    assert "shifted by 4 px down and -3 px to the right" in reasons["clean/05.png"]


def test_how_many_pictures_each_split_holds_is_said(folder: Path) -> None:
    counts = json.loads((folder / "reports/ingest/metrics.json").read_text())
    assert counts["pictures"] == 14 == counts["kept"] / 4
    assert sum(counts[f"pictures_{split}"] for split in ("train", "val", "test")) == 14
    told = json.loads((folder / "reports/ingest/statistics.json").read_text())["pairs"]
    assert told["correlation"]["min"] > 0.8 and told["shift"]["max"] <= 1


def test_nothing_is_drawn_for_real_pairs(folder: Path) -> None:
    frame, clean = ImageSet(folder / "corrupted").frame(), ImageSet(folder / "clean").frame()
    assert set(frame["kind"]) == {"real"} and len(frame) == len(clean)
    assert sorted(frame["clean_id"]) == sorted(clean["id"])


def test_a_restorer_learns_from_real_pairs_and_is_measured_on_them(folder: Path) -> None:
    run(folder, train_restorer, "clean", "corrupted", "model")
    paths = ("model", "clean", "corrupted", "reports/restorer", "restored")
    run(folder, evaluate_restorer, *paths)
    rows = json.loads((folder / "reports/restorer/slices.json").read_text())["slices"]
    assert [(row["kind"], row["severity"]) for row in rows] == [("real", 0)]
    assert rows[0]["gain"] > 1
    figures = json.loads((folder / "reports/restorer/metrics.json").read_text())
    counts = json.loads((folder / "reports/ingest/metrics.json").read_text())
    assert (figures["images"], figures["pictures"]) == (counts["test"], counts["pictures_test"])
