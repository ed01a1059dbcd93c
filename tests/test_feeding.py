"""Claims about what feeds the loop."""

from pathlib import Path

import pytest

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
