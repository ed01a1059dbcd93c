"""Bytes that atheris invents never make a reader raise anything but its own errors."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from remint.images.imageset import Record, write
from tests.processes import LAST_SECONDS

pytestmark = pytest.mark.slow
SECONDS = 15
GRID = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)


def first_inputs(folder: Path, reader: str, root: Path) -> list[bytes]:
    """Return whole inputs, from which others are bred."""
    if reader == "params":
        text = (root / "params.yaml").read_bytes()
        return [text[text.index(b"corrupt:") : text.index(b"train_restorer:")]]
    if reader == "table":
        return [b"file,kind,patient,part\na.png,cat,1,train\n\xc3\xa9.png,,2,\n"]
    records = [Record(str(n), GRID + n, "train", f"{n}.png", label=n) for n in range(3)]
    write(folder / "set", records, metadata={"class_names": ["a", "b", "c"]})
    return [(folder / "set/part-00000.parquet").read_bytes()]


@pytest.mark.parametrize("reader", ["params", "table", "set"])
def test_a_reader_raises_nothing_but_its_own_errors(
    root: Path, tmp_path: Path, reader: str
) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, data in enumerate(first_inputs(tmp_path, reader, root)):
        (corpus / str(number)).write_bytes(data)
    options = ["-seed=1", f"-max_total_time={SECONDS}", "-timeout=200", "-rss_limit_mb=4096"]
    command = [sys.executable, str(root / "tests/fuzz_readers.py"), reader, str(corpus), *options]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=LAST_SECONDS
    )
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    assert "Done " in done.stderr  # it did run inputs
