"""Claims about the stage corrupt."""

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from remint.images import stored
from remint.images.imageset import ImageSet, Record, pixel_id, write
from tasks import corrupt

SECTION = {
    "seed": 1,
    "workers": 1,
    "engine": "local",
    "evaluate": {
        "kinds": ["jpeg"],
        "severities": [1, 5],
        "clean": True,
        "unseen": ["webp"],
        "val_per_slice": None,
        "test_per_slice": 2,
    },
    "training": {
        "draws": 2,
        "clean_share": 0.1,
        "single_share": 0.5,
        "steps": [{"kind": "jpeg", "severity": [1, 5], "probability": 0.5}],
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 10, 10, 3), dtype=np.uint8)
    records = [
        Record(pixel_id(image), image, ("train", "val", "test")[n % 3], f"{n}.png")
        for n, image in enumerate(pixels)
    ]
    metadata = {"class_names": [], "channels": 3, "created": {}}
    write(tmp_path / "clean", records, metadata=metadata)
    YAML().dump({"corrupt": SECTION}, tmp_path / "params.yaml")
    return tmp_path


def run(folder: Path) -> ImageSet:
    paths = [str(folder / name) for name in ("clean", "corrupted")]
    corrupt.main([*paths, "--params", str(folder / "params.yaml")])
    return ImageSet(folder / "corrupted")


def test_the_stage_writes_the_set_that_training_and_evaluation_need(folder: Path) -> None:
    made = run(folder)
    clean = ImageSet(folder / "clean")
    assert made.frame().groupby("split").size().to_dict() == {"train": 6, "val": 9, "test": 10}
    assert made.metadata["clean_fingerprint"] == clean.fingerprint
    assert made.metadata["training"]["draws"] == 2 and made.metadata["channels"] == 3
    assert set(made.frame("test")["kind"]) == {"clean", "jpeg", "webp"}


def test_the_same_clean_set_and_parameters_give_the_same_bytes(folder: Path) -> None:
    assert run(folder).fingerprint == run(folder).fingerprint


def test_a_slip_in_the_section_is_named_with_its_key(folder: Path) -> None:
    steps = [{"kind": "jpg", "severity": [1, 5], "probability": 0.5}]
    wrong = {**SECTION, "training": {**SECTION["training"], "steps": steps}}
    YAML().dump({"corrupt": wrong}, folder / "params.yaml")
    with pytest.raises(ValueError, match=r"corrupt\.training\.steps.*jpg"):
        run(folder)


def test_a_second_run_into_a_set_that_is_being_made_is_refused(folder: Path) -> None:
    with stored.made_alone(folder / "corrupted"), pytest.raises(ValueError, match="wait for it"):
        run(folder)
    assert len(run(folder))
