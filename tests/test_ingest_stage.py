"""The ingest stage: what it leaves on disk, and what it says when it refuses."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from remint.images.imageset import ImageSet
from tasks.ingest import REFUSED, main


@pytest.fixture
def photos(tmp_path):
    for seed in range(60):
        pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
        path = tmp_path / "photos" / "ab"[seed % 2] / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


PARAMS = """
ingest:
  source: folder
  path: unused
  name: ""
  table: {file: images.csv, path: path, label: "", group: "", split: ""}
  dead_leaves: {images: 0, side: 64}
  leave_out: ["*thumb*"]
  longest: 0
  pairs: {least_correlation: 0.25, largest_shift: 2, further: quarantine}
  fit: keep
  size: 8
  colour: grey
  background: 255
  max_pixels: 1000000
  shares: {train: 0.6, val: 0.2, test: 0.2}
  seed: 1
  near_duplicates: group
  limit: 40
  max_bad_share: 0.1
  workers: 1
  engine: local
  shard_megabytes: 256
"""


def stage_arguments(photos, tmp_path, text=PARAMS):
    (tmp_path / "params.yaml").write_text(text)
    paths = [str(photos), str(tmp_path / "clean"), str(tmp_path / "report")]
    return [*paths, "--params", str(tmp_path / "params.yaml")]


def test_the_stage_writes_set_counts_statistics_and_quarantine(photos, tmp_path, capsys):
    (photos / "a" / "0.png").write_bytes(b"")
    main(stage_arguments(photos, tmp_path))
    counts = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert (counts["found"], counts["kept"], counts["quarantined"]) == (40, 39, 1)
    assert len(ImageSet(tmp_path / "clean")) == 39
    with (tmp_path / "report" / "quarantine.csv").open() as file:
        assert list(csv.DictReader(file)) == [{"source": "a/0.png", "reason": "is empty (0 bytes)"}]
    statistics = json.loads((tmp_path / "report" / "statistics.json").read_text())
    assert statistics["channels"] == 1
    assert statistics["subject"]["clean"] == ImageSet(tmp_path / "clean").fingerprint
    assert "39 kept" in capsys.readouterr().out


def test_a_refused_run_says_why_in_one_line_and_leaves_its_quarantine(photos, tmp_path, root: Path):
    for found in (photos / "a").iterdir():
        found.write_bytes(b"")
    command = [sys.executable, "-m", "tasks.ingest", *stage_arguments(photos, tmp_path)]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert ended.returncode == 1 and not (tmp_path / "clean").exists()
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error:")]
    assert "cannot be used" in line and "Traceback" not in ended.stderr
    assert (tmp_path / "report" / "quarantine.csv").read_text().count("is empty") == 20
    statistics = json.loads((tmp_path / "report" / "statistics.json").read_text())
    assert statistics["subject"]["clean"] == REFUSED
