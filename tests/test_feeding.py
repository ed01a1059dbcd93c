"""Claims about what feeds the loop."""

import atexit
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from remint.training import feeding


def test_memory_is_shared_with_the_container_and_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("max", "1000000"), ("current", "600000"), ("stat", "inactive_file 400000")):
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(feeding, "CGROUP", tmp_path)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert feeding.fits_memory(400_000, 0.5) and not feeding.fits_memory(400_001, 0.5)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert feeding.fits_memory(100_000, 0.5) and not feeding.fits_memory(100_001, 0.5)
    (tmp_path / "memory.max").write_text("max\n")
    assert feeding.fits_memory(100_001, 0.5)


class Witness:
    """A source that leaves a file where a worker's interpreter clears up at its end."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        atexit.register(self.file.touch)

    def __getitem__(self, counters: np.ndarray) -> tuple[torch.Tensor, ...]:
        return (torch.from_numpy(counters),)


def test_a_worker_that_is_left_in_the_middle_ends_without_clearing_up(tmp_path: Path) -> None:
    stream: Any = feeding.feed(Witness(tmp_path / "cleared"), 0, 4, 1)
    assert next(stream)[0].tolist() == [0, 1, 2, 3]
    (worker,) = stream._workers
    stream._shutdown_workers()
    assert worker.exitcode == 0 and not (tmp_path / "cleared").exists()
