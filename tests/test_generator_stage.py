"""Claims about the stage train_generator: what it leaves, resumption, what it refuses."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from safetensors.torch import load_file

from remint.generator.generator import Minter
from remint.images import imageset
from remint.images.imageset import Record
from tasks import train_generator
from tasks.commands import presets


@pytest.fixture
def folder(tmp_path: Path, root: Path) -> Path:
    """Hold a clean set of two classes, and params.yaml of the tiny preset."""
    return filled(tmp_path, root)


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a folder, to be read only, with the model that the stage made."""
    folder = filled(tmp_path_factory.mktemp("trained"), root)
    train_generator.main(arguments(folder))
    return folder


def filled(tmp_path: Path, root: Path) -> Path:
    """Write the set and params.yaml into a folder, and return it."""
    rng = np.random.default_rng(0)
    records = []
    for number in range(60):
        image = rng.integers(0, 256, (16, 16, 1), dtype=np.uint8)
        split = "train" if number < 40 else "val"
        records.append(Record(imageset.pixel_id(image), image, split, "", label=number % 2))
    imageset.write(tmp_path / "clean", records, metadata={"class_names": ["a", "b"], "channels": 1})
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    presets.apply_preset("tiny", tmp_path / "params.yaml")
    change(tmp_path, snapshots={"images": 20})
    return tmp_path


def change(folder: Path, **values: dict[str, object]) -> None:
    yaml = YAML()
    document = yaml.load((folder / "params.yaml").read_text())
    for name, inner in values.items():
        document["train_generator"][name].update(inner)
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(document, file)


def arguments(folder: Path) -> list[str]:
    paths = [str(folder / name) for name in ("clean", "model")]
    return [*paths, "--params", str(folder / "params.yaml")]


def test_the_stage_leaves_a_whole_model_and_nothing_unfinished(trained: Path) -> None:
    names = {path.name for path in (trained / "model").iterdir()}
    assert names == {  # flow has no discriminator
        "generator.json",
        "generator.safetensors",
        "history.csv",
        "last.safetensors",
        "snapshots.json",
        "samples",
    }
    history = pd.read_csv(trained / "model/history.csv")
    assert history["images"].is_monotonic_increasing and history["selection_kid"].notna().any()
    minter = Minter.load(trained / "model")
    assert minter.card["images_seen"] == 1280 and minter.class_names == ["a", "b"]
    scores = json.loads((trained / "model/snapshots.json").read_text())
    least = min(score["selection_kid"] for score in scores)
    assert minter.card["selected"]["selection_kid"] == pytest.approx(least)


def test_the_chosen_weights_are_those_of_the_chosen_snapshot(trained: Path) -> None:
    chosen = Minter.load(trained / "model").card["selected"]["images"]
    best, last = (load_file(trained / f"model/{n}.safetensors") for n in ("generator", "last"))
    same = all(bool((best[name] == last[name]).all()) for name in best)
    assert same == (chosen == 1280)


def test_the_sample_grid_has_a_row_a_class_and_is_the_same_every_time(trained: Path) -> None:
    minter = Minter.load(trained / "model")
    grid = train_generator.sample_grid(minter)
    assert grid.shape == (2 * 16, 10 * 16, 1)
    assert (grid == train_generator.sample_grid(minter)).all()
    assert (grid[:16, :16] == minter.mint(np.array([0]), np.array([0]))[0]).mean() > 0.99


def test_a_terminated_stage_says_so_and_goes_on_to_the_same_weights(
    folder: Path, trained: Path
) -> None:
    whole = (trained / "model/last.safetensors").read_bytes()
    command = [sys.executable, "-m", "tasks.train_generator", *arguments(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while not list(folder.glob("model/checkpoints/game/*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate()
    assert process.returncode == 143 and "and saved: SIGTERM received" in said
    assert not (folder / "model/generator.json").exists()
    train_generator.main(arguments(folder))
    assert (folder / "model/last.safetensors").read_bytes() == whole


def test_a_model_that_a_kill_had_moved_aside_is_put_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = folder / f".model.{999_999_999}.old"  # of a process that is no more
    aside.mkdir()
    (aside / "generator.json").write_text("{}")
    monkeypatch.setattr(train_generator, "train_generator", lambda *_: iter([None]))
    with pytest.raises(AttributeError):
        train_generator.main(arguments(folder))
    assert (folder / "model/generator.json").exists() and not aside.exists()


def test_augmentation_for_a_discriminator_that_is_not_there_is_refused(folder: Path) -> None:
    change(folder, loss={"augment": "ada"})
    with pytest.raises(ValueError, match=r"found ada and flow has no discriminator .* conv or r3"):
        train_generator.main(arguments(folder))


@pytest.mark.parametrize(
    ("split", "size", "sentence"),
    [
        ("train", 16, "found 0 validation images, needed 20 or more"),
        ("val", 18, "found images of 18 px"),
    ],
)
def test_sets_that_cannot_be_trained_on_are_refused_with_a_sentence(
    folder: Path, split: str, size: int, sentence: str
) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (size, size, 1), dtype=np.uint8) for _ in range(40)]
    records = [
        Record(imageset.pixel_id(i), i, "train" if n < 20 else split, "", label=0)
        for n, i in enumerate(images)
    ]
    imageset.write(folder / "clean", records, metadata={"class_names": ["a"], "channels": 1})
    with pytest.raises(ValueError, match=sentence):
        train_generator.main(arguments(folder))
