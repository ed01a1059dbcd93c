"""A path of params.yaml that stands in a command: a shell never reads what is in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from ruamel.yaml import YAML

from tasks.commands import plain_paths
from tasks.commands.presets import change

HOSTILE = ('x"; touch pwned; "', "$(touch pwned)", "`touch pwned`", "a\ntouch pwned\n", "a\\")


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A copy of the project without its data, in which DVC runs its own graph."""
    return copied(root, tmp_path / "copy")


@pytest.fixture(scope="module")
def refusing(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a copy for what is refused, and leaves nothing."""
    return copied(root, tmp_path_factory.mktemp("refusing") / "copy")


def copied(root: Path, folder: Path) -> Path:
    folder.mkdir()
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(root / name, folder)
    for name in ("tasks", "remint"):
        left_out = shutil.ignore_patterns("__pycache__", "shipped")
        shutil.copytree(root / name, folder / name, ignore=left_out)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    return folder


def dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


def ingested(folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    """Run `dvc repro ingest` on a folder of this name that is there."""
    for shade in range(20):
        file = folder / path / f"{shade}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (28, 28), shade * 12).save(file)
    change(folder / "params.yaml", {"ingest": {"source": "folder", "path": path}})
    return dvc(folder, "repro", "ingest")


@pytest.mark.parametrize("path", ["my photos; touch pwned", "Jane's & Bob's (*) #1"])
def test_a_path_with_spaces_and_signs_is_one_path(copy: Path, path: str) -> None:
    done = ingested(copy, path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (copy / "data/clean").is_dir() and not list(copy.rglob("pwned"))


@pytest.mark.parametrize("path", HOSTILE)
def test_a_path_that_a_shell_would_read_is_refused_before_it_does(
    refusing: Path, path: str
) -> None:
    done = ingested(refusing, path)
    said = done.stdout + done.stderr
    assert done.returncode and said.count("error: ingest.path: found") == 1, said
    assert not (refusing / "data/clean").exists() and not list(refusing.rglob("pwned"))


def test_every_templated_command_has_its_values_looked_at_first(root: Path) -> None:
    stages = YAML(typ="safe").load(root / "dvc.yaml")["stages"]
    for name, stage in stages.items():
        first, *rest = stage["cmd"] if isinstance(stage["cmd"], list) else ["", stage["cmd"]]
        keys = [part.split("}")[0] for command in rest for part in command.split("${")[1:]]
        wanted = f"python -m tasks.commands.plain_paths {' '.join(keys)}" if keys else ""
        assert first == wanted and "${" not in first, name
        for key in keys:
            assert f'${{{key}}}"' in rest[0], f"{name} does not quote {key}"


def test_what_a_shell_leaves_alone_is_plain() -> None:
    assert not [
        name for name in ("data/x", "a b; c", "~", "Größe\u202f1", "*?'#!") if refused(name)
    ]
    assert all(refused(name) for name in (*HOSTILE, "$HOME", "a\r", "\x7f"))


def refused(name: str) -> bool:
    return plain_paths.problem("ingest.path", name) is not None
