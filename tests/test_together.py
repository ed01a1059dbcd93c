"""Stages that do not read from each other run side by side, and end together."""

import os
import signal
import sys
from pathlib import Path

import pytest

from flows import together
from tests.processes import Spawner, wait_until
from tests.servers import quick_repository

# Each of the two waits for what the other one does first
DVC_YAML = """
stages:
  begin:
    cmd: cp in begun
    deps: [in]
    outs: [begun]
  left:
    cmd: touch left.is; until [ -e right.is ]; do sleep 0.1; done; echo http://me:secret@a > left
    deps: [begun]
    outs: [left]
  right:
    cmd: touch right.is; until [ -e left.is ]; do sleep 0.1; done; touch right
    deps: [begun]
    outs: [right]
  end:
    cmd: cat left right; cp left end
    deps: [left, right]
    outs: [end]
"""


@pytest.fixture
def repo(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (folder := tmp_path / "repo").mkdir()
    quick_repository(folder, root, DVC_YAML)
    monkeypatch.chdir(folder)
    return folder


def edit(repo: Path, old: str, new: str) -> None:
    text = (repo / "dvc.yaml").read_text()
    assert old in text
    (repo / "dvc.yaml").write_text(text.replace(old, new))


def run(*goals: str, at_once: int = 2) -> int:
    return together.main([*goals, "--at-once", str(at_once)])


def test_halves_run_at_once_each_line_behind_its_stage_and_the_second_time_nothing(
    repo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0 and (repo / "end").exists()
    said = capfd.readouterr().out
    assert "right | Running stage 'right':" in said and "begin | Running" in said
    assert "end   | http://***@a" in said and "secret" not in said
    assert run() == 0 and capfd.readouterr().out == "Nothing had changed, nothing was run.\n"


def test_a_failure_leaves_out_what_reads_from_it_and_nothing_else(
    repo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    edit(repo, "touch left.is; until", "touch left.is; exit 7; until")
    assert run() == 1
    assert (repo / "right").exists() and not (repo / "end").exists()
    last = capfd.readouterr().out.splitlines()[-1]
    assert last.startswith("error: stage left failed (dvc ended with ")


def test_a_goal_is_reached_without_the_rest_one_by_one_where_that_is_asked(repo: Path) -> None:
    edit(repo, "until [ -e left.is ]; do sleep 0.1; done; ", "")
    assert run("right", at_once=1) == 0
    assert (repo / "right").exists() and not (repo / "left.is").exists()


def test_what_most_waits_for_goes_first(repo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    alone = DVC_YAML.replace("until [ -e right.is ]; do sleep 0.1; done; ", "")
    alone = alone.replace("until [ -e left.is ]; do sleep 0.1; done; ", "")
    (repo / "dvc.yaml").write_text(alone.replace("deps: [left, right]", "deps: [right, begun]"))
    edit(repo, "cat left right; cp left end", "cp right end")
    assert run(at_once=1) == 0
    said = capfd.readouterr().out
    assert said.index("Running stage 'right'") < said.index("Running stage 'left'")


def test_a_goal_that_is_no_stage_is_told_in_a_sentence(
    repo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("wrong") == 1
    assert capfd.readouterr().err == "error: dvc.yaml has no stage wrong\n"


@pytest.mark.parametrize(
    ("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_who_ends_it_ends_both_in_order(
    repo: Path, root: Path, spawn: Spawner, sign: signal.Signals, status: int
) -> None:
    for name in ("left", "right"):
        begin = f"touch {name}.is;"
        edit(repo, begin, f"trap 'touch {name}.saved; exit 1' TERM; {begin} sleep 600;")
    env = {**os.environ, "PYTHONPATH": str(root)}
    child = spawn(
        [sys.executable, "-m", "flows.together", "--at-once", "2"], repo / "log", env, cwd=repo
    )
    wait_until(lambda: all((repo / f"{n}.is").exists() for n in ("left", "right")), "begun", child)
    os.kill(child.process.pid, sign)
    assert child.end() == status
    assert (repo / "left.saved").exists() and (repo / "right.saved").exists()
    assert not spawn.left()
