"""Claims about the inbox: new images once, nothing moved, nothing lost, nothing hostile opened."""

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.restorer import save_card, save_weights
from tasks.commands import arrivals, inbox, restore_files
from tasks.commands.restore_files import in_time

NETWORK = NetworkConfig(name="dncnn", width=4, encoder=(), middle=0, stem=1, depth=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained restorer."""
    folder = tmp_path_factory.mktemp("model")
    save_weights(folder, "fidelity", build_network(NETWORK, 1))
    card = {"network": vars(NETWORK), "channels": 1, "default_interpolation": 0.0}
    save_card(folder, card)
    return folder


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """An inbox and the folder of its results."""
    (tmp_path / "in/sub").mkdir(parents=True)
    return tmp_path / "in", tmp_path / "out"


def arrive(path: Path, value: int = 100, age: float = 60.0) -> None:
    """Let an image arrive `age` seconds ago."""
    Image.fromarray(np.full((12, 16), value, np.uint8)).save(path, "PNG")
    settle(path, age)


def settle(path: Path, age: float = 60.0) -> None:
    then = time.time() - age
    os.utime(path, (then, then))


def one_pass(places: tuple[Path, Path], model: Path, again: bool = False) -> Counter[str]:
    found = inbox.one_pass(*places, str(model), "cpu", again)
    assert found is not None
    return found


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def results(out: Path) -> set[str]:
    files = (path for path in out.rglob("*") if path.is_file())
    return {str(p.relative_to(out)) for p in files if not p.name.startswith(".")}


def test_a_bomb_of_pixels_is_quarantined_with_the_option_that_would_let_it_in(
    places, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("1", (22_000, 22_000)).save(places[0] / "bomb.png")
    settle(places[0] / "bomb.png")
    assert one_pass(places, model) == {"quarantined": 1}
    assert "limit of 100,000,000; shrink it or raise max_pixels (--max-pixels)" in (
        capsys.readouterr().out
    )


def test_an_image_that_takes_too_long_is_quarantined_and_tried_again_when_asked(
    places, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrive(places[0] / "a.png")
    slow = inbox.one_pass(*places, str(model), "cpu", max_seconds=1e-9)
    assert slow == {"quarantined": 1} and not (places[1] / "a.png").exists()
    assert "took too long" in capsys.readouterr().out
    assert one_pass(places, model) == {"known": 1}
    assert one_pass(places, model, again=True) == {"restored": 1}
    assert results(places[1]) == {"a.png", "quarantine.csv"}


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_limit_that_lets_nothing_pass_is_refused_before_any_picture(
    places, model: Path, seconds: float
) -> None:
    arrive(places[0] / "a.png")
    with pytest.raises(ValueError, match=r"max_seconds: found .*, needed more than 0"):
        inbox.one_pass(*places, str(model), "cpu", max_seconds=seconds)
    assert not places[1].exists()


def test_time_is_looked_at_between_tiles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=iter((9.0, 11.0)).__next__)
    monkeypatch.setattr(restore_files, "time", clock)
    tiles = in_time([1, 2, 3], 3, 10.0)
    assert next(tiles) == 1
    with pytest.raises(ValueError, match="1 of 3 tiles were done"):
        next(tiles)


def test_each_image_is_restored_once_and_stays_where_it_is(places, model: Path) -> None:
    arrive(places[0] / "a.png")
    arrive(places[0] / "sub/b.png")
    assert one_pass(places, model) == {"restored": 2}
    made = (places[1] / "a.png").stat().st_mtime_ns
    assert one_pass(places, model) == {"known": 2}
    assert results(places[1]) == {"a.png", "sub/b.png"} and (places[0] / "a.png").exists()
    assert (places[1] / "a.png").stat().st_mtime_ns == made


def test_a_changed_image_is_restored_anew_a_touched_one_is_not(places, model: Path) -> None:
    arrive(places[0] / "a.png")
    one_pass(places, model)
    settle(places[0] / "a.png", 30)
    assert one_pass(places, model) == {"known": 1}
    before = (places[1] / "a.png").read_bytes()
    arrive(places[0] / "a.png", 200)
    assert one_pass(places, model) == {"restored": 1}
    assert (places[1] / "a.png").read_bytes() != before


def test_another_model_restores_again_only_when_asked(places, model: Path, tmp_path: Path) -> None:
    arrive(places[0] / "a.png")
    one_pass(places, model)
    other = tmp_path / "other"
    shutil.copytree(model, other)
    save_weights(other, "fidelity", build_network(NETWORK, 1))
    assert one_pass(places, other) == {"known": 1}
    assert one_pass(places, other, again=True) == {"restored": 1}
    assert one_pass(places, other, again=True) == {"known": 1}


def test_a_file_that_is_still_written_waits(places, model: Path) -> None:
    arrive(places[0] / "a.png", age=0)
    assert one_pass(places, model) == {"waiting": 1}
    assert not results(places[1])


def test_a_picture_of_a_camera_whose_clock_is_ahead_waits_no_longer_than_others(
    places, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(places[0] / "a.png", age=-3e7)
    assert one_pass(places, model) == {"waiting": 1}
    monkeypatch.setattr(arrivals, "SETTLED_SECONDS", 0.0)
    assert one_pass(places, model) == {"restored": 1}


def test_what_failed_is_listed_with_its_inbox_for_as_long_as_it_lies_there(
    places, model: Path
) -> None:
    (places[0] / "a.png").write_text("no picture")
    settle(places[0] / "a.png")
    assert one_pass(places, model) == {"quarantined": 1}
    listed = (places[1] / "quarantine.csv").read_text()
    assert "a.png" in listed and str(places[0]) in listed
    (places[0] / "a.png").unlink()
    one_pass(places, model)
    assert (places[1] / "quarantine.csv").read_text() == "file,reason,inbox\n"


def test_a_file_of_somebody_else_in_the_outbox_is_never_replaced(places, model: Path) -> None:
    arrive(places[0] / "a.png")
    places[1].mkdir()
    (places[1] / "a.png").write_text("mine")
    assert one_pass(places, model) == {"quarantined": 1}
    assert (places[1] / "a.png").read_text() == "mine"


def test_a_second_pass_beside_the_first_leaves_the_work_to_it(places, model: Path) -> None:
    places[1].mkdir()
    with FileLock(places[1] / inbox.LOCK):
        assert inbox.one_pass(*places, str(model), "cpu") is None


def test_a_pass_killed_at_any_moment_is_continued(places, model: Path) -> None:
    for number in range(12):
        arrive(places[0] / f"{number}.png", 10 * number)
    command = [
        sys.executable,
        "-m",
        "tasks.commands.cli",
        "inbox",
        *map(str, places),
        "--model",
        str(model),
    ]
    killed = subprocess.Popen([*command, "--device", "cpu"], cwd=Path(__file__).parents[1])
    while not list(places[1].glob("[0-9]*.png")) and killed.poll() is None:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    found = one_pass(places, model)
    assert found["restored"] + found["known"] == 12 and found["restored"] > 0
    assert results(places[1]) == {f"{number}.png" for number in range(12)}
    assert {size(path) for path in places[1].glob("*.png")} == {(16, 12)}


# hostile files


def bomb(kind: str) -> bytes:
    """A small file that declares, or unpacks to, far too much."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return len(data).to_bytes(4) + name + data + check.to_bytes(4)

    side = 60_000 if kind == "pixels" else 8
    header = side.to_bytes(4) + side.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    zeros = zlib.compress(bytes(300 * 2**20), 9) if kind != "pixels" else b""
    extra = {
        "pixels": b"",
        "text": chunk(b"zTXt", b"Comment\0\0" + zeros),
        "profile": chunk(b"iCCP", b"profile\0\0" + zeros),
    }[kind]
    rows = zlib.compress(bytes(9 * 8))
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", ["pixels", "text", "profile"])
def test_a_bomb_is_quarantined_and_does_not_stop_the_pass(places, model: Path, kind: str) -> None:
    (places[0] / "bomb.png").write_bytes(bomb(kind))
    settle(places[0] / "bomb.png")
    arrive(places[0] / "good.png")
    found = one_pass(places, model)
    assert found["restored"] >= 1 and sum(found.values()) == 2
    if kind == "pixels":
        assert "bomb.png" in (places[1] / "quarantine.csv").read_text()


def test_what_fails_is_listed_with_its_reason_and_tried_again_when_it_changes(
    places, model: Path
) -> None:
    whole = io.BytesIO()
    Image.fromarray(np.full((12, 16), 9, np.uint8)).save(whole, "JPEG")
    (places[0] / "cut.jpg").write_bytes(whole.getvalue()[:-60])
    (places[0] / "text.png").write_text("no image")
    (places[0] / "notes.txt").write_text("no image either")
    for path in places[0].iterdir():
        settle(path)
    found = one_pass(places, model)
    assert (found["quarantined"], found["left out as no images"]) == (2, 1)
    listed = (places[1] / "quarantine.csv").read_text()
    assert "cut.jpg" in listed and "text.png" in listed and "notes" not in listed
    assert one_pass(places, model)["quarantined"] == 0
    arrive(places[0] / "text.png")
    assert one_pass(places, model)["restored"] == 1
    assert "text.png" not in (places[1] / "quarantine.csv").read_text()


def test_links_pipes_and_sockets_are_named_and_never_opened(
    places, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(tmp_path / "secret.png")
    (places[0] / "link.png").symlink_to(tmp_path / "secret.png")
    (places[0] / "folder").symlink_to(tmp_path)
    os.mkfifo(places[0] / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(places[0])  # the name of a socket is short
        listener.bind("socket.png")
        assert one_pass(places, model)["quarantined"] == 4
    assert results(places[1]) == {"quarantine.csv"}


def test_strange_names_stay_inside_the_outbox(places, model: Path) -> None:
    names = ["..png", "line\nbreak.png", "\u202egnp.png", "x" * 251 + ".png", "a..\\..\\b.png"]
    for name in names:
        arrive(places[0] / name)
    raw = os.fsencode(places[0]) + b"/\xff\xfe.png"
    shutil.copy(os.fsencode(places[0] / names[1]), raw)
    settle(Path(os.fsdecode(raw)))
    found = one_pass(places, model)
    assert found["restored"] == 5 and "..png" not in results(places[1])
    assert {path.parent for path in places[1].rglob("*")} == {places[1]}


def test_an_inbox_that_is_not_there_or_holds_its_outbox_is_refused(places, model: Path) -> None:
    with pytest.raises(ValueError, match="is no folder"):
        inbox.one_pass(places[0] / "none", places[1], str(model), "cpu")
    with pytest.raises(ValueError, match="lies inside"):
        inbox.one_pass(places[0], places[0] / "out", str(model), "cpu")
