"""Claims about the stage train_restorer, its guard and its log."""

import fcntl
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from remint.core.fingerprint import model_fingerprint
from remint.corruptions.pairs import FIELDS
from remint.images import imageset
from remint.images.imageset import ImageSet, Record
from remint.restorer.restorer import Restorer, save_card
from remint.training.loop import Interrupted
from tasks import train_restorer
from tasks.commands import presets
from tasks.training import single_run


@pytest.fixture
def folder(tmp_path: Path, root: Path) -> Path:
    """Hold a clean and a corrupted set, and params.yaml of the tiny preset."""
    return filled(tmp_path, root)


@pytest.fixture(scope="module")
def trained_once(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a folder with the model that the stage made, and `said`, what it said."""
    folder = filled(tmp_path_factory.mktemp("trained"), root)
    with (folder / "said").open("w") as said, redirect_stdout(said):
        train_restorer.main(arguments(folder))
    return folder


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True))


def filled(tmp_path: Path, root: Path) -> Path:
    """Write both sets and params.yaml into a folder, and return it."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (28, 28, 1), dtype=np.uint8) for _ in range(24)]
    splits = ["train"] * 16 + ["val"] * 8
    clean = [
        Record(imageset.pixel_id(image), image, split, str(n))
        for n, (image, split) in enumerate(zip(images, splits, strict=True))
    ]
    imageset.write(tmp_path / "clean", clean, metadata={"class_names": [], "channels": 1})
    meta = {
        "class_names": [],
        "channels": 1,
        "seed": 0,
        "clean_fingerprint": ImageSet(tmp_path / "clean").fingerprint,
        "training": {"draws": 1, "steps": []},
    }
    extra = {"kind": "mixed", "severity": 0, "recipe": "[]", "mask": None}
    damaged = [
        Record(f"{r.id}.d", r.image // 2, r.split, "", extra={"clean_id": r.id, **extra})
        for r in clean
    ]
    imageset.write(tmp_path / "corrupted", damaged, metadata=meta, extra_fields=FIELDS)
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    presets.apply_preset("tiny", tmp_path / "params.yaml")
    return tmp_path


def change(folder: Path, **values: object) -> None:
    yaml = YAML()
    document = yaml.load((folder / "params.yaml").read_text())
    document["train_restorer"].update(values)
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(document, file)


def arguments(folder: Path) -> list[str]:
    paths = [str(folder / name) for name in ("clean", "corrupted", "model")]
    return [*paths, "--params", str(folder / "params.yaml")]


def test_the_stage_leaves_a_whole_model_and_nothing_unfinished(trained: Path) -> None:
    assert re.search(r"val \d+\.\d\d dB, its input \d+\.\d\d dB", (trained / "said").read_text())
    names = {path.name for path in (trained / "model").iterdir()}
    assert names == {
        "adversarial.safetensors",
        "doubt.safetensors",
        "fidelity.safetensors",
        "history.csv",
        "restorer.json",
        "samples",
    }
    history = pd.read_csv(trained / "model/history.csv")
    assert history["images"].is_monotonic_increasing and history["minutes"].is_monotonic_increasing
    assert {"val_psnr", "val_psnr_input"} <= set(history)
    assert list(history["stage"].unique()) == ["fidelity", "adversarial"]
    assert Restorer.load(trained / "model").card["images_seen"] == 1920


def test_a_terminated_stage_says_so_and_goes_on_to_the_same_weights(folder: Path) -> None:
    change(folder, validation_images=0)
    train_restorer.main(arguments(folder))
    whole = (folder / "model/adversarial.safetensors").read_bytes()
    (folder / "model").rename(folder / "undisturbed")
    command = [sys.executable, "-m", "tasks.train_restorer", *arguments(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while not list(folder.glob("model/checkpoints/fidelity/*")):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate()
    assert process.returncode == 143 and "and saved: SIGTERM received" in said
    assert not (folder / "model/restorer.json").exists()
    train_restorer.main(arguments(folder))
    assert (folder / "model/adversarial.safetensors").read_bytes() == whole


def test_a_finished_model_gets_the_map_of_doubt_that_training_would_have_given_it(
    trained: Path,
) -> None:
    model, apart = trained / "model", trained / "apart"
    card, weights = json.loads((model / "restorer.json").read_text()), "doubt.safetensors"
    assert card["doubt"]["pictures"] == card["doubt"]["pairs"] == 8
    shutil.copytree(model, apart)
    (apart / weights).unlink()
    save_card(apart, {name: value for name, value in card.items() if name != "doubt"})
    train_restorer.main(
        [*arguments(trained)[:2], str(apart), *arguments(trained)[3:], "--doubt-alone"]
    )
    assert (apart / weights).read_bytes() == (model / weights).read_bytes()
    assert json.loads((apart / "restorer.json").read_text()) == card
    assert {path.name for path in apart.iterdir()} == {path.name for path in model.iterdir()}


def test_a_map_of_doubt_alone_waits_for_folder_and_gpu_as_a_training_does(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alone(place: Path, gpu: bool, _: object) -> None:
        raise Interrupted(f"waited for {place.name}, GPU: {gpu}")

    monkeypatch.setattr(train_restorer, "pick_device", lambda *_: torch.device("cuda"))
    monkeypatch.setattr(single_run, "alone", alone)
    with redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit, match="143"):
        train_restorer.main([*arguments(trained), "--doubt-alone"])
    assert "waited for checkpoints, GPU: True" in said.getvalue()


def test_too_few_val_pictures_are_no_error_of_the_run_but_a_sentence_in_the_card(
    folder: Path,
) -> None:
    change(folder, doubt={"images": 320, "alpha": 0.1})
    train_restorer.main(arguments(folder))
    assert not (folder / "model/doubt.safetensors").exists()
    sentence = Restorer.load(folder / "model").card["doubt"]["refused"]
    assert sentence.endswith("pairs of 8 pictures, and a promise for 90% needs 9 or more")
    with pytest.raises(ValueError, match="no map of doubt can be added"):
        train_restorer.main([*arguments(folder), "--doubt-alone"])


def test_a_model_s_card_names_the_one_that_training_started_from(trained: Path) -> None:
    begun = (trained / "model").rename(trained / "begun")
    change(trained, start={"model": "begun", "strict": True}, adversarial=None)
    change(trained, default_interpolation=0.0)
    train_restorer.main([*arguments(trained), "--start", str(begun)])
    started = Restorer.load(trained / "model").card["start"]
    assert started == {"fingerprint": model_fingerprint(begun), "not_taken": []}
    with pytest.raises(ValueError, match=r"found no restorer\.json"):
        train_restorer.main([*arguments(trained), "--start", str(trained / "absent")])


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        single_run.alone(tmp_path, gpu=False),
        pytest.raises(ValueError, match="trained in by another process"),
        single_run.alone(tmp_path, gpu=False),
    ):
        pass


def test_every_user_may_take_the_gpu_and_who_waits_for_it_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stopped = pytest.raises(Interrupted, match="waiting for the GPU: SIGTERM")
    before = os.umask(0o077)
    try:
        with single_run.alone(tmp_path / "a", gpu=True):
            pass
    finally:
        os.umask(before)
    (lock,) = tmp_path.glob("remint-gpu-*.lock")
    assert lock.stat().st_mode & 0o777 == 0o666
    with lock.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with stopped, single_run.alone(tmp_path / "b", gpu=True, stop_reason=lambda: "SIGTERM"):
            pass
    assert "another training holds" in capsys.readouterr().out


def test_a_training_ends_when_the_process_that_it_watches_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    monkeypatch.setenv(single_run.WATCH, str(sleeper.pid))
    monkeypatch.setattr(single_run, "SECONDS_BETWEEN_LOOKS", 0.0)
    with single_run.stop_reasons() as reason:
        assert reason() is None
        sleeper.kill()
        sleeper.wait()
        assert reason() == "the process that started this training is gone"


def test_a_training_that_dvc_started_ends_with_it_however_it_ends(tmp_path: Path) -> None:
    code = "import time\nfrom tasks.training import single_run\n"
    code += "with single_run.stop_reasons() as reason:\n"
    code += " print('up', flush=True)\n while not reason(): time.sleep(0.1)\n print(reason())"
    dvc = tmp_path / "dvc"
    dvc.write_text(f'#!/bin/sh\n{sys.executable} -c "{code}"\ntrue\n')
    command = ["/bin/sh", str(dvc)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None and starter.stdout.readline() == "up\n"
        starter.kill()
        assert "is gone" in starter.stdout.read()  # ends only when the child has ended


def test_shells_above_are_not_watched() -> None:
    assert single_run._parents() == []
