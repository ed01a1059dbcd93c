"""What `pip install` brings is whole: it works in an empty folder, without a checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.restorer import save_card, save_weights
from tests.test_report import write_ingest, write_model, write_restorer

PACKAGES = ("remint", "tasks", "flows")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
OFFLINE = ["--no-deps", "--no-index"]


@dataclass(frozen=True)
class Installed:
    """An environment of its own; wheel: what was installed there; folder: an empty one."""

    programs: Path
    wheel: Path
    folder: Path

    def run(self, program: str, *arguments: object) -> str:
        environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
        command = [str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in an environment that sees the other packages, but nothing of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / name, folder / "source" / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(root / name, folder / "source")
    build = ["wheel", *OFFLINE, "--no-build-isolation", "-w", folder / "dist", folder / "source"]
    subprocess.run([*PIP, *build], check=True)
    (wheel,) = (folder / "dist").iterdir()
    venv.create(folder / "environment", with_pip=False)
    python = folder / "environment/bin/python"
    subprocess.run([*PIP, "--python", python, "install", *OFFLINE, wheel], check=True)
    (site,) = (folder / "environment").glob("lib/python*/site-packages")
    # the project's own .pth, which leads to the checkout, counts in its own folder alone
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (folder / "empty").mkdir()
    return Installed(python.parent, wheel, folder / "empty")


def test_it_holds_every_file_of_the_packages(installed: Installed, root: Path) -> None:
    held = {
        name for name in zipfile.ZipFile(installed.wheel).namelist() if ".dist-info" not in name
    }
    files = [file for name in PACKAGES for file in (root / name).rglob("*") if file.is_file()]
    wanted = {file.relative_to(root).as_posix() for file in files if file.suffix != ".pyc"}
    assert held == wanted


def test_the_code_is_the_wheels(installed: Installed) -> None:
    code = f"import {', '.join(PACKAGES)}; print({', '.join(f'{n}.__file__' for n in PACKAGES)})"
    site = installed.programs.parent / "lib"
    told = installed.run("python", "-c", code).split()
    assert len(told) == 3 and all(Path(file).is_relative_to(site) for file in told)


def test_it_restores_an_image(installed: Installed, tmp_path: Path) -> None:
    assert "restore" in installed.run("remint", "--help")
    network = NetworkConfig(name="dncnn", width=4, encoder=(), middle=0, stem=1, depth=2)
    save_weights(tmp_path, "fidelity", build_network(network, 1))
    card = {"network": vars(network), "channels": 1, "default_interpolation": 0.0}
    save_card(tmp_path, card)
    Image.fromarray(np.full((12, 16), 90, np.uint8)).save(tmp_path / "a.png")
    where = tmp_path / "a.png", tmp_path / "out"
    installed.run("remint", "restore", *where, "--model", tmp_path, "--device", "cpu")
    with Image.open(tmp_path / "out/a.png") as image:
        assert image.size == (16, 12)


def test_it_writes_the_page(installed: Installed, tmp_path: Path, root: Path) -> None:
    folders = [write_ingest(tmp_path / "a"), write_restorer(tmp_path / "b"), write_model(tmp_path)]
    given = *folders, tmp_path / "page.html", "--params", root / "params.yaml"
    installed.run("python", "-m", "tasks.report", *given)
    page = (tmp_path / "page.html").read_text()
    assert 'id="slices"' in page and 'id="data"' in page and 'id="provenance"' in page
