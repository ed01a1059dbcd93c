"""A training that was begun is not gone on with by other code, unless somebody insists."""

import json
import shutil
from pathlib import Path

import pytest

from tasks import train_generator, train_restorer
from tasks.training import code
from tests.test_train_stage import arguments, folder

__all__ = ["folder"]
GRAPH = """
stages:
  train_restorer: {cmd: x, deps: [code, other.py, data], params: [train_restorer]}
  train_generator: {cmd: x, deps: [code]}
"""


@pytest.fixture
def unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a training's checkpoints, in a working folder with a graph."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    for name in ("code/a.py", "other.py", "params.yaml", "data"):
        (tmp_path / name).touch()
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    (place := tmp_path / "model/checkpoints").mkdir(parents=True)
    return place


def begin(unfinished: Path) -> None:
    """Save a checkpoint."""
    (unfinished / "fidelity/000000000010").mkdir(parents=True)
    (unfinished / "fidelity/000000000010/state.json").write_text("{}")


def test_other_code_is_refused_by_its_files_unless_somebody_insists(
    unfinished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code.same_code("train_restorer", unfinished)
    begin(unfinished)
    Path("code/a.py").write_text("b = 1")
    with pytest.raises(ValueError, match=r"begun by other code: code/a\.py\. .*OTHER_CODE=accept"):
        code.same_code("train_restorer", unfinished)
    with monkeypatch.context() as patch:
        patch.setenv(code.INSIST, "accept")
        code.same_code("train_restorer", unfinished)
    code.same_code("train_restorer", unfinished)  # from then on that is its code


def test_parameters_and_data_are_no_code_and_without_a_checkpoint_any_may_begin(
    unfinished: Path,
) -> None:
    code.same_code("train_restorer", unfinished)
    Path("code/a.py").write_text("b = 1")
    code.same_code("train_restorer", unfinished)
    begin(unfinished)
    Path("params.yaml").write_text("train_restorer: {workers: 2}")
    Path("data").write_text("more")
    code.same_code("train_restorer", unfinished)


def test_a_checkpoint_that_was_never_finished_holds_nobody_to_its_code(unfinished: Path) -> None:
    code.same_code("train_restorer", unfinished)
    begin(unfinished)
    half = unfinished / "fidelity/.000000000010.7.partial"
    (unfinished / "fidelity/000000000010").rename(half)
    Path("code/a.py").write_text("b = 1")
    code.same_code("train_restorer", unfinished)


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b"\xff"])
def test_a_note_that_is_damaged_is_one_sentence_with_the_way_out(
    unfinished: Path, monkeypatch: pytest.MonkeyPatch, damaged: bytes
) -> None:
    begin(unfinished)
    (unfinished / code.NOTE).write_bytes(damaged)
    with pytest.raises(ValueError, match=r"code\.json, .*Remove .*checkpoints .*OTHER_CODE=accept"):
        code.same_code("train_restorer", unfinished)
    monkeypatch.setenv(code.INSIST, "accept")
    code.same_code("train_restorer", unfinished)


def test_both_trainings_ask_before_they_go_on(folder: Path, unfinished: Path) -> None:
    begin(unfinished)
    (unfinished / code.NOTE).write_text(json.dumps({"code/a.py": "of before"}))
    with pytest.raises(ValueError, match="begun by other code"):
        train_restorer.main(arguments(folder))
    with pytest.raises(ValueError, match="begun by other code"):
        train_generator.main([part for part in arguments(folder) if "corrupted" not in part])


def test_a_map_of_doubt_alone_is_not_gone_on_with_by_other_code(
    folder: Path, unfinished: Path
) -> None:
    train_restorer.main(arguments(folder))
    half = unfinished / "doubt"
    begin(half)
    (half / code.NOTE).write_text(json.dumps({"code/a.py": "of before"}))
    with pytest.raises(ValueError, match=r"checkpoints/doubt was begun by other code"):
        train_restorer.main([*arguments(folder), "--doubt-alone"])
    shutil.rmtree(half)
    begin(unfinished)
    with pytest.raises(ValueError, match=r"holds a training that is not finished \(fidelity\)"):
        train_restorer.main([*arguments(folder), "--doubt-alone"])
    shutil.rmtree(unfinished / "fidelity")
    train_restorer.main([*arguments(folder), "--doubt-alone"])
    assert not half.exists()
