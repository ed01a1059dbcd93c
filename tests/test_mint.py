"""Claims about the stage export_synthetic and `remint mint`, with a real small generator."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from safetensors.torch import save_file

from remint.classifier.train import Classifier
from remint.generator.generator import CARD, DISCRIMINATOR_WEIGHTS, FORMAT, WEIGHTS, Minter
from remint.generator.networks.catalogue import (
    GeneratorConfig,
    build_discriminator,
    build_generator,
)
from remint.images.imageset import ImageSet, Record, pixel_id, write
from remint.images.withheld import REJECTED, TEACHER
from tasks import export_synthetic
from tasks.commands import mint_files

SECTION: dict[str, Any] = {
    "seed": 5,
    "device": "cpu",
    "classes": [],
    "per_class": 3,
    "balance": False,
    "attempts": 4.0,
    "formats": ["set", "imagefolder"],
    "filters": {
        "least_deviation": 0.5,
        "exact_duplicates": True,
        "confidence": 0.01,
        "discriminator": 0.2,
        "training_copy": None,
        "near_duplicate": None,
    },
    "reals": {
        "shift": 0.1,
        "classifier": {
            "width": 4,
            "batch": 8,
            "rate": 1e-3,
            "most_steps": 6,
            "check_every": 2,
            "patience": 1,
            "held_out": 0.1,
            "augment": "none",
        },
        "classifier_images": 100,
    },
    "shard_megabytes": 8,
    "c2pa": {"certificate": "", "key": "", "algorithm": "es256"},
    "papers": {"license": "unknown", "published": ""},
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a clean set, an untrained generator of it, and params.yaml."""
    furnish(tmp_path, [0, 1] * 12)
    return tmp_path


def furnish(folder: Path, labels: list[int]) -> None:
    """Write the three into a folder; two images of three are for training."""
    shape = (len(labels), 8, 8, 1)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    splits = ("train", "train", "val")
    records = [
        Record(pixel_id(image), image, splits[n % 3], f"{n}.png", label)
        for n, (image, label) in enumerate(zip(pixels, labels, strict=True))
    ]
    metadata = {"class_names": ["a", "b"], "channels": 1, "created": {}}
    write(folder / "clean", records, metadata=metadata)
    save_generator(folder / "model", ImageSet(folder / "clean").fingerprint)
    section = {"export_synthetic": SECTION, "ingest": {"path": str(folder / "photos")}}
    YAML().dump(section, folder / "params.yaml")


def save_generator(folder: Path, trained_on: str) -> None:
    torch.manual_seed(0)
    config = GeneratorConfig("conv", 8, 8, 16, 8, 1.0)
    folder.mkdir()
    save_file(build_generator(config, 1, 8, 2).state_dict(), folder / WEIGHTS)
    discriminator = build_discriminator(config, 1, 8, 2)
    assert discriminator is not None
    save_file(discriminator.state_dict(), folder / DISCRIMINATOR_WEIGHTS)
    card = {"format": FORMAT, "channels": 1, "size": 8, "class_names": ["a", "b"]}
    card |= {"network": asdict(config), "images_seen": 10, "data": {"clean": trained_on}}
    (folder / CARD).write_text(json.dumps(card))


def run_stage(home: Path) -> None:
    paths = [str(home / name) for name in ("model", "clean", "synthetic", "report")]
    export_synthetic.main([*paths, "--params", str(home / "params.yaml")])


def mint(home: Path, *options: str) -> None:
    parser = argparse.ArgumentParser()
    mint_files.add_parser(parser.add_subparsers())
    folders = ["--model", str(home / "model"), "--clean", str(home / "clean")]
    given = parser.parse_args(["mint", str(home / "out"), *folders, *options])
    given.run(given)


def test_the_stage_writes_the_export_and_its_report(home: Path) -> None:
    run_stage(home)
    assert len(ImageSet(home / "synthetic" / "set")) == 6
    metrics = json.loads((home / "report" / "metrics.json").read_text())
    figures = json.loads((home / "report" / "figures.json").read_text())
    assert metrics["images"] == 6 and [c["exported"] for c in figures["classes"]] == [3, 3]
    rejected = sum(count for name, count in metrics.items() if name.startswith("rejected_"))
    assert metrics["minted"] == 6 + rejected
    assert rejected == len(pd.read_csv(home / "synthetic" / "rejected.csv"))
    for picture in json.loads((home / "report" / "gallery.json").read_text()):
        with Image.open(home / "report" / "gallery" / picture["file"]) as image:
            assert image.size[0] > 100


def test_the_report_tells_which_model_minted_which_set_of_which_images(home: Path) -> None:
    run_stage(home)
    told = json.loads((home / "report" / "figures.json").read_text())["subject"]
    assert told == {
        "clean": ImageSet(home / "clean").fingerprint,
        "generator": Minter.load(home / "model", device="cpu").fingerprint,
        "synthetic": ImageSet(home / "synthetic" / "set").fingerprint,
        "code": told["code"],
    }


def test_rejected_images_and_the_teacher_are_kept_back_from_those_it_is_for(home: Path) -> None:
    paths = [str(home / name) for name in ("model", "clean", "synthetic", "report")]
    kept_back = ["--withheld", str(home / "withheld")]
    export_synthetic.main([*paths, *kept_back, "--params", str(home / "params.yaml")])
    rejected = ImageSet(home / "withheld" / REJECTED)
    listed = pd.read_csv(home / "synthetic" / "rejected.csv")
    assert 0 < len(rejected) <= len(listed) and rejected.class_names == ["a", "b"]
    assert (rejected.frame()["attempt"] < 3).all()
    exported = set(ImageSet(home / "synthetic" / "set").frame()["id"])
    assert not exported & set(rejected.frame()["id"])
    teacher = Classifier.load(home / "withheld" / TEACHER)
    soft = {
        row["id"]: row["soft_label"] for row, _ in ImageSet(home / "synthetic" / "set").images()
    }
    for row, image in ImageSet(home / "synthetic" / "set").images():
        assert np.allclose(teacher.probabilities(image[None])[0], soft[row["id"]], atol=1e-5)


def test_an_exported_image_is_minted_again_alone(home: Path) -> None:
    run_stage(home)
    minter = Minter.load(home / "model", device="cpu")
    for row, image in ImageSet(home / "synthetic" / "set").images():
        alone = minter.mint(np.array([row["label"]]), np.array([row["seed"]]))[0]
        assert np.array_equal(alone, image)


def test_the_stage_needs_the_set_format_and_a_free_place(home: Path) -> None:
    run_stage(home)
    with pytest.raises(ValueError, match="exists already"):
        run_stage(home)
    section = {"export_synthetic": {**SECTION, "formats": ["imagefolder"]}}
    YAML().dump(section, home / "params.yaml")
    with pytest.raises(ValueError, match="lacks set"):
        run_stage(home)


def test_mint_writes_as_many_files_of_each_class_as_asked(home: Path) -> None:
    mint(home, "--per-class", "5", "--params", str(home / "params.yaml"))
    files = sorted((home / "out").rglob("*.png"))
    assert [file.parent.name for file in files] == ["a"] * 5 + ["b"] * 5


def test_mint_fills_one_class_up_and_keeps_its_number(home: Path) -> None:
    options = ["--class", "b", "--count", "4", "--formats", "set", "imagefolder"]
    mint(home, *options, "--params", str(home / "params.yaml"))
    minted = ImageSet(home / "out" / "set")
    assert minted.frame()["label"].tolist() == [1] * 4 and minted.class_names == ["a", "b"]
    assert {file.parent.name for file in (home / "out").rglob("*.png")} == {"b"}
    (home / "out").rename(home / "first")
    with pytest.raises(ValueError, match="found c, needed some of the generator's: a, b"):
        mint(home, "--class", "c", "--params", str(home / "params.yaml"))


def test_balance_ends_with_as_many_real_and_minted_images_of_every_class(tmp_path: Path) -> None:
    furnish(tmp_path, [0] * 18 + [1] * 6)
    mint(tmp_path, "--balance", "--formats", "set", "--params", str(tmp_path / "params.yaml"))
    real = ImageSet(tmp_path / "clean").frame("train")["label"].value_counts().to_dict()
    minted = ImageSet(tmp_path / "out" / "set").frame()["label"].value_counts().to_dict()
    assert (real, minted) == ({0: 12, 1: 4}, {1: 8})


def test_another_seed_mints_other_images_the_same_seed_the_same(home: Path) -> None:
    ids = []
    for seed in ("1", "2", "1"):
        mint(home, "--seed", seed, "--unfiltered", "--per-class", "2")
        ids.append(set(pd.read_parquet(home / "out" / "manifest.parquet")["id"]))
        (home / "out").rename(home / f"out{len(ids)}")
    assert ids[0] == ids[2] and not ids[0] & ids[1]


def test_mint_needs_limits_or_the_word_that_there_are_none(home: Path) -> None:
    with pytest.raises(ValueError, match="--unfiltered"):
        mint(home, "--params", str(home / "none.yaml"))
    mint(home, "--params", str(home / "none.yaml"), "--unfiltered", "--formats", "set")
    assert len(ImageSet(home / "out" / "set")) == 200


def test_nothing_is_minted_into_ones_own_photographs(home: Path) -> None:
    (home / "photos").mkdir()
    home_out = ["--model", str(home / "model"), "--clean", str(home / "clean")]
    parser = argparse.ArgumentParser()
    mint_files.add_parser(parser.add_subparsers())
    out = str(home / "photos" / "minted")
    options = ["--params", str(home / "params.yaml")]
    for more in ([], ["--unfiltered"]):
        given = parser.parse_args(["mint", out, *home_out, *options, *more])
        with pytest.raises(ValueError, match="in one another"):
            given.run(given)
