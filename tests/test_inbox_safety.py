"""Claims about an inbox on a bad day: nothing of others is replaced, no good image condemned."""

import errno
import io
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import AcceleratorError, OutOfMemoryError

from remint.core.fingerprint import model_fingerprint
from remint.restorer import shipped
from tasks.commands import inbox
from tasks.commands.arrivals import Arrival
from tasks.commands.plans import RestoreJob
from tasks.commands.restore_files import restore_one
from tasks.promotion import registry
from tests.test_inbox import arrive, model, one_pass, places, results, settle

__all__ = ["model", "places"]


def test_a_pass_that_is_killed_leaves_a_foreign_file_to_its_owner(
    places, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    arrive(places[0] / "a.png")
    places[1].mkdir()
    (places[1] / "a.png").write_text("of somebody else")
    with monkeypatch.context() as patch:
        patch.setattr(inbox, "restore_one", killed)
        assert one_pass(places, model) == {"quarantined": 1}
    one_pass(places, model)
    assert (places[1] / "a.png").read_text() == "of somebody else"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left"),
        MemoryError(),
        OutOfMemoryError(),
        AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ],
)
def test_a_full_disk_or_memory_ends_the_pass_and_the_next_one_restores_the_image(
    places, model: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def no_room(*_: object) -> None:
        raise error

    arrive(places[0] / "a.png")
    with monkeypatch.context() as patch:
        patch.setattr(inbox, "restore_one", no_room)
        with pytest.raises(type(error)):
            one_pass(places, model)
    assert "quarantine.csv" not in results(places[1])
    assert one_pass(places, model) == {"restored": 1}


def test_what_the_disk_does_not_give_this_time_is_left_for_the_next_pass(
    places, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Arrival) -> str:
        if self.name == "a.png":
            raise OSError(errno.EIO, "Input/output error")
        return "content"

    for name in ("a.png", "b.png"):
        arrive(places[0] / name)
    with monkeypatch.context() as patch:
        patch.setattr(Arrival, "content", failing)
        assert one_pass(places, model) == {"left for the next pass": 1, "restored": 1}
    assert one_pass(places, model) == {"known": 1, "restored": 1}


@pytest.mark.parametrize("after", [True, False])
def test_a_picture_that_is_taken_away_meanwhile_ends_no_pass(
    places, model: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    def hasty(job: RestoreJob, *rest: Any) -> tuple[str, ...]:
        if job.name == "a.png" and not after:
            job.source.unlink()
        made = restore_one(job, *rest)
        if job.name == "a.png":
            job.source.unlink()
        return made

    for name in ("a.png", "b.png"):
        arrive(places[0] / name)
    monkeypatch.setattr(inbox, "restore_one", hasty)
    told = {"restored": 2} if after else {"restored": 1, "taken away": 1}
    assert one_pass(places, model) == told
    assert results(places[1]) == ({"a.png", "b.png"} if after else {"b.png"})


def test_a_folder_that_may_not_be_read_is_named_and_the_rest_goes_on(
    places, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusing(folder: str) -> object:
        if str(folder).endswith("sub"):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    scandir = os.scandir
    for name in ("sub/a.png", "z.png"):
        arrive(places[0] / name)
    monkeypatch.setattr(os, "scandir", refusing)
    assert one_pass(places, model) == {"restored": 1, "folders that can't be read": 1}
    assert "sub can't be read (Permission denied); give the right to" in capsys.readouterr().out


def test_what_a_killed_pass_left_half_written_is_swept_away(
    places, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(job: RestoreJob, *_: object) -> None:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        (job.target.parent / f".a.png.{ended.pid}.partial").touch()
        (job.target.parent / f".mine.{ended.pid}.partial").touch()
        raise KeyboardInterrupt

    arrive(places[0] / "a.png")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(inbox, "restore_one", killed)
        one_pass(places, model)
    assert one_pass(places, model) == {"restored": 1}
    assert [path.name.split(".")[1] for path in places[1].glob(".*.partial")] == ["mine"]


def many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG that asks for the last pass over its pixels again and again."""
    whole = io.BytesIO()
    Image.new("L", (side, side)).save(whole, "JPEG", progressive=True)
    content = whole.getvalue()
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * scans + content[-2:]


def test_a_decoder_that_does_not_come_back_ends_the_pass_and_the_next_goes_on(
    places, model: Path
) -> None:
    (places[0] / "a.jpg").write_bytes(many_scans(4000, 8000))  # minutes
    settle(places[0] / "a.jpg")
    arrive(places[0] / "b.png")
    command = [sys.executable, "-m", "tasks.commands.cli", "inbox", *map(str, places)]
    command += ["--model", str(model), "--device", "cpu", "--max-seconds", "1"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == os.EX_TEMPFAIL, done.stderr
    assert "can't be interrupted" in done.stdout
    assert "a.jpg" in (places[1] / "quarantine.csv").read_text()
    assert one_pass(places, model) == {"known": 1, "restored": 1}
    assert results(places[1]) == {"b.png", "quarantine.csv"}


def test_a_model_that_is_no_good_condemns_no_image(places, model: Path, tmp_path: Path) -> None:
    arrive(places[0] / "a.png")
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "restorer.json").write_text("{}")
    (bad / "fidelity.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"restorer\.json"):
        one_pass(places, bad)
    assert one_pass(places, model) == {"restored": 1}


@pytest.mark.parametrize("kind", ["photo-grey", "photo-colour"])
def test_one_bad_model_of_those_that_come_with_remint_condemns_no_image(
    places, tmp_path: Path, kind: str
) -> None:
    arrive(places[0] / "a.png")
    shutil.copytree(shipped.FOLDER, tmp_path / "both")
    (tmp_path / "both" / kind / "fidelity.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=f"{kind}.*weights"):
        one_pass(places, tmp_path / "both")
    assert one_pass(places, shipped.FOLDER) == {"restored": 1}


def test_a_gpu_that_is_not_there_condemns_no_image(places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arrive(places[0] / "a.png")
    with pytest.raises(ValueError, match="no GPU was found; use auto or cpu"):
        inbox.one_pass(*places, str(shipped.FOLDER), "cuda")
    assert not places[1].exists()
    assert inbox.one_pass(*places, str(shipped.FOLDER), "cpu") == {"restored": 1}


def test_a_good_version_after_a_bad_one_takes_the_place_of_the_first_result(
    places, model: Path
) -> None:
    arrive(places[0] / "a.png", 100)
    one_pass(places, model)
    first = (places[1] / "a.png").read_bytes()
    (places[0] / "a.png").write_bytes(b"broken on the way")
    settle(places[0] / "a.png", 50)
    assert one_pass(places, model) == {"quarantined": 1}
    arrive(places[0] / "a.png", 200, 40)
    assert one_pass(places, model) == {"restored": 1}
    assert (places[1] / "a.png").read_bytes() != first


def test_two_inboxes_with_one_outbox_leave_each_other_equal_names(
    places, model: Path, tmp_path: Path
) -> None:
    arrive(places[0] / "a.png", 100)
    one_pass(places, model)
    first = (places[1] / "a.png").read_bytes()
    (tmp_path / "other").mkdir()
    arrive(tmp_path / "other/a.png", 200)
    assert one_pass((tmp_path / "other", places[1]), model) == {"quarantined": 1}
    assert (places[1] / "a.png").read_bytes() == first
    assert one_pass(places, model) == {"known": 1}


def test_a_ledger_of_before_is_taken_over(places, model: Path) -> None:
    arrive(places[0] / "a.png")
    one_pass(places, model)
    with sqlite3.connect(places[1] / inbox.LEDGER) as store:
        store.execute(
            "CREATE TABLE files AS SELECT path, content, size, changed, model, outcome, reason, at "
            "FROM arrivals"
        )
        store.execute("DROP TABLE arrivals")
    store.close()
    assert one_pass(places, model) == {"known": 1}
    arrive(places[0] / "a.png", 200, 40)
    assert one_pass(places, model) == {"restored": 1}


def test_a_ledger_that_can_not_be_written_is_no_broken_ledger(places, model: Path) -> None:
    (places[1] / inbox.LEDGER).mkdir(parents=True)
    with pytest.raises(OSError, match=r"can't be read or written .* make room"):
        one_pass(places, model)


def test_before_there_is_a_champion_the_models_of_the_package_are_used(
    places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry.Registry, "__init__", lambda self, name: None)
    monkeypatch.setattr(registry.Registry, "find", lambda self, reference: None)
    arrive(places[0] / "a.png")
    assert inbox.one_pass(*places, "champion", "cpu") == {"restored": 1}
    assert "no restorer is champion yet: photo-colour, photo-grey" in capsys.readouterr().out
    with sqlite3.connect(places[1] / inbox.LEDGER) as store:
        (known,) = store.execute("SELECT model FROM arrivals").fetchone()
    store.close()
    assert known.split("+") == [model_fingerprint(m) for m in shipped.members(shipped.FOLDER)]
