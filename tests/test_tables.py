"""Claims about the tables of experiments that README and make show: narrow enough to be read."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

GRAPH = """
stages:
  measure:
    cmd: python measure.py
    params: [net]
    outs: [data/model]
    metrics: [{metrics.json: {cache: false}}]
  judge:
    cmd: cat data/model
    deps: [data/model]
"""
MEASURE = """
import json, pathlib, re
width = int(re.search("width: (.*)", open("params.yaml").read())[1])
pathlib.Path("data/model").write_text(str(width))
json.dump({"coverage": width / 10, "images": 9}, open("metrics.json", "w"))
"""


def dvc(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def experiments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository with two experiments, as working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(["git", "init", "-q"], check=True)
    dvc("init", "-q")
    files = {"dvc.yaml": GRAPH, "measure.py": MEASURE, "data/.gitignore": "/model\n"}
    for name, text in {**files, "params.yaml": "net:\n  width: 1\n  depth: 2\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    dvc("repro", "-q")
    subprocess.run("git add -A && git commit -qm first", shell=True, check=True)
    for width in (5, 7):
        dvc("exp", "run", "-q", "-S", f"net.width={width}")


def columns(command: str) -> list[str]:
    """Return the columns of the table that a `dvc exp show ...` of a page or a Makefile shows."""
    program, *arguments = shlex.split(command, comments=True)
    assert program == "dvc"
    return next(csv.reader(dvc(*arguments, "--csv").splitlines()))


def test_the_table_of_each_page_shows_what_differs_and_no_hash(
    root: Path, experiments: None
) -> None:
    for page in ("README.md", "docs/operations.md"):
        (command,) = re.findall(r"^dvc exp show.*", (root / page).read_text(), re.MULTILINE)
        found = columns(command)
        assert {"Experiment", "coverage", "net.width"} <= set(found)
        assert not {"images", "net.depth", "data/model"} & set(found)


def test_make_compare_ends_with_a_few_figures_that_stages_give(
    root: Path, tmp_path: Path, experiments: None
) -> None:
    (tmp_path / "set-up").touch()
    place = f"VENV={os.path.relpath(tmp_path, root)}"
    said = subprocess.run(["make", "-n", "-C", str(root), "compare", place], capture_output=True)
    (command,) = re.findall(rb"^dvc exp show.*?(?=;)", said.stdout, re.MULTILINE)
    assert columns(command.decode()) == ["Experiment", "coverage"]
    asked = re.findall(r"\w+", command.decode().partition("--keep")[2])
    reports = (root / "data/reports").glob("*/metrics.json")
    known = {name for path in reports for name in json.loads(path.read_text())}
    assert "cas_gap_points" in known and set(asked) <= {*known, "Experiment"}
