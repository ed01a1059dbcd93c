"""Claims about folders that are whole or absent."""

import subprocess
import sys
from pathlib import Path

import pytest

from remint.core.atomic import replaced_folder, settle_leftovers


@pytest.fixture
def dead() -> int:
    """Give the number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as done:
        done.wait()
    return done.pid


def test_what_a_killed_swap_moved_away_comes_back(tmp_path: Path, dead: int) -> None:
    moved = tmp_path / f".model.{dead}.old"
    moved.mkdir()
    (moved / "weights").touch()
    settle_leftovers(tmp_path / "model")
    assert (tmp_path / "model/weights").exists() and not moved.exists()


def test_an_old_folder_does_not_replace_a_newer_one(tmp_path: Path, dead: int) -> None:
    (tmp_path / f".model.{dead}.old").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model/new").touch()
    settle_leftovers(tmp_path / "model")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "new"]


def test_a_swap_that_fails_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/old").touch()
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.suffix == ".partial":
            raise OSError("no space")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no space"), replaced_folder(tmp_path / "set") as folder:
        (folder / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "old"]
