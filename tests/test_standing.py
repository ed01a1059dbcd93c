"""A stage edited while it runs is not recorded as made by what nobody ran."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows import stages, stale
from tests.servers import quick_repository

DVC_YAML = """
stages:
  train:
    cmd: >-
      python -m work {edit}
    deps: [work.py, tool.py]
    params: [train]
    outs: [out]
  after:
    cmd: cat out > end
    deps: [out]
    outs: [end]
"""
WORK = """
import sys
from pathlib import Path
from tasks.stage import stage

def main():
    Path("out").write_text(Path("tool.py").read_text())
    name, text = sys.argv[1:] if len(sys.argv) > 1 else ("", "")
    if name:
        Path(name).write_text(text)

stage.entry(main)
"""


def repository(folder: Path, root: Path, edit: str) -> Path:
    folder.mkdir()
    (folder / "work.py").write_text(WORK)
    (folder / "tool.py").write_text("1")
    quick_repository(folder, root, DVC_YAML.format(edit=edit))
    (folder / "params.yaml").write_text("train: {steps: 1}\nother: 2\n")
    return folder


@pytest.mark.parametrize(
    ("edit", "named"),
    [("tool.py 2", "tool.py"), ('params.yaml "train: {steps: 2}"', "params.yaml: train")],
)
def test_what_changed_while_a_stage_ran_is_named_and_the_stage_stays_stale(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, edit: str, named: str
) -> None:
    repo = repository(tmp_path / "repo", root, edit)
    monkeypatch.setenv("PYTHONPATH", str(root))
    lines: list[str] = []
    assert stages.run("train", {}, lines.append, repo).ran
    (warning,) = [line for line in lines if line.startswith("warning: changed")]
    assert named in warning.partition(";")[0] and "work.py" not in warning
    assert stages.run("after", {}, lines.append, repo).ran  # what reads from it goes on
    assert not stages.unchanged(["train"], repo)
    assert stages.run("train", {}, lines.append, repo).ran  # not taken from DVC's run cache
    assert stages.unchanged(["train"], repo)


def test_two_stages_that_end_at_once_are_both_left_stale(tmp_path: Path, root: Path) -> None:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    names = [f"stage{k}" for k in range(60)]  # long enough to write that two would meet
    told = {name: {"cmd": name, "deps": [{"path": "a"}], "outs": []} for name in names}
    (tmp_path / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": told}))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: stale.leave(name, tmp_path, ("true",), 0.0), names[:8]))
    left = YAML(typ="safe").load(tmp_path / "dvc.lock")["stages"]
    assert [name for name in names if "deps" not in left[name]] == names[:8]


def test_a_stage_that_nobody_touched_is_up_to_date_and_says_nothing(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = repository(tmp_path / "repo", root, 'params.yaml "{train: {steps: 1}, other: 3}"')
    monkeypatch.setenv("PYTHONPATH", str(root))
    lines: list[str] = []
    assert stages.run("train", {}, lines.append, repo).ran and stages.unchanged(["train"], repo)
    assert not [line for line in lines if "changed while" in line]
