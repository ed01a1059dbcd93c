"""Claims about the stage evaluate_synthetic: what it writes, what it refuses."""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from remint.classifier.averaged import AveragedConfig, train_averaged
from remint.images.imagefile import read
from remint.images.imageset import ImageSet, Record, write
from remint.images.labelled import SOFT_LABEL
from remint.images.labelled import read as labelled
from remint.images.withheld import FIELDS, REJECTED, TEACHER
from remint.utility.arms import ARMS, BALANCED
from tasks import evaluate_synthetic
from tasks.figures import copies

SIDE = 12
SECTION: dict[str, Any] = {
    "seed": 1,
    "device": "cpu",
    "workers": 1,
    "utility": {
        "seeds": 5,
        "fractions": ["all", 10],
        "synthetic_share": 0.5,
        "primary": "classical",
        "smallest_gain": 1.0,
        "confidence": 0.95,
        "duplicate_rms": 2.0,
        "classifier": {
            "batch": 16,
            "rate": 0.01,
            "width": 4,
            "most_steps": 8,
            "check_every": 4,
            "patience": 2,
            "tolerance": 0.01,
            "held_out": 0.2,
        },
    },
    "copies": {
        "features": "auto",
        "steps": 8,
        "images": 0,
        "false_alarms": 0.02,
        "shift": 0.1,
        "noise": 8.0,
        "turn": 5.0,
        "planted": 20,
        "pairs": 6,
        "cache": "unset",
    },
}


def records(counts: Mapping[str, int], seed: int, classes: int) -> Iterable[Record]:
    drawn = np.random.default_rng(seed)
    for split, count in counts.items():
        for number in range(count):
            label = number % max(1, classes)
            image = drawn.normal(90, 50, (SIDE, SIDE, 1))
            image[4 * label : 4 * label + 3] += 60
            pixels = np.clip(image, 0, 255).astype(np.uint8)
            yield Record(f"{seed}.{split}.{number}", pixels, split, "x", label if classes else None)


def make(path: Path, counts: Mapping[str, int], seed: int, classes: int, **facts: Any) -> ImageSet:
    names = [str(k) for k in range(classes)]
    metadata = {"class_names": names, "channels": 1, **facts}
    write(path, records(counts, seed, classes), metadata=metadata)
    return ImageSet(path)


def run(folder: Path, *more: str, clean: str = "clean", **copies: Any) -> None:
    changed = {"cache": str(folder / "cache"), **copies}
    section = {**SECTION, "copies": {**SECTION["copies"], **changed}}
    with (folder / "params.yaml").open("w") as file:
        YAML().dump({"evaluate_synthetic": section}, file)
    paths = [folder / clean, folder / "synthetic", folder / "report"]
    kept_back = folder / "withheld"
    more = (*more, *(("--withheld", str(kept_back)) if kept_back.is_dir() else ()))
    evaluate_synthetic.main([*more, *map(str, paths), "--params", str(folder / "params.yaml")])


def loaded(folder: Path, name: str) -> Any:
    return json.loads((folder / "report" / name).read_text())


def sets(folder: Path, classes: int = 3) -> Path:
    clean = make(folder / "clean", {"train": 90, "val": 60, "test": 60}, 1, classes)
    facts = {"synthetic": {"data": clean.fingerprint}}
    make(folder / "synthetic" / "set", {"train": 60}, 2, classes, **facts)
    if classes:
        withhold(folder, classes)
    return folder


def withhold(folder: Path, classes: int) -> None:
    """Write soft labels into the set, and what an export keeps back: 10 rejected, and a teacher."""
    minted = ImageSet(folder / "synthetic" / "set")
    train = labelled(ImageSet(folder / "clean"), "train")
    config = AveragedConfig(4, 16, 0.01)
    teacher = train_averaged(train.images, train.labels, classes, config, "none", 8, 1)
    soft = teacher.probabilities(labelled(minted).images).tolist()
    extra = [{SOFT_LABEL: row} for row in soft]
    rows = [
        replace(r, extra=e) for r, e in zip(records({"train": 60}, 2, classes), extra, strict=True)
    ]
    fields = (pa.field(SOFT_LABEL, pa.list_(pa.float32())),)
    write(minted.path, rows, metadata=minted.metadata, extra_fields=fields)
    rejected = list(records({"train": 10}, 5, classes))
    whys = [{"attempt": n, "filter": "confidence"} for n in range(10)]
    rows = [replace(r, extra=w) for r, w in zip(rejected, whys, strict=True)]
    write(folder / "withheld" / REJECTED, rows, metadata=minted.metadata, extra_fields=FIELDS)
    teacher.save(folder / "withheld" / TEACHER)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = sets(tmp_path_factory.mktemp("evaluated"))
    run(folder)
    return folder


def test_metrics_are_flat_and_name_both_halves(folder: Path) -> None:
    metrics = loaded(folder, "metrics.json")
    assert all(isinstance(value, int | float) for value in metrics.values())
    assert {"accuracy_real", "accuracy_synthetic_only", "cas_gap_points"} <= set(metrics)
    assert metrics["gain_low"] <= metrics["gain_points"] <= metrics["gain_high"]
    gap = 100 * (metrics["accuracy_real_as_many"] - metrics["accuracy_synthetic_only"])
    assert metrics["cas_gap_points"] == pytest.approx(gap, abs=1e-3)
    assert metrics["copy_detected_exact"] == 1.0 and "copy_z_classifier" in metrics


def test_all_arms_are_there_with_their_images_and_only_the_fair_ones_of_a_fraction(
    folder: Path,
) -> None:
    table = pd.read_csv(folder / "report" / "utility.csv")
    arms = table.groupby("fraction")["arm"].apply(list)
    assert arms["all"] == [name for name in ARMS if name not in BALANCED]  # its classes are even
    images = table.set_index(["fraction", "arm"])["images"]["all"]
    assert (images[["real_as_many", "synthetic_raw", "synthetic", "synthetic_soft"]] == 60).all()
    assert images["real"] == 90 and images["real_synthetic"] == 150
    assert arms["10 a class"] == ["real", "real_classical", "real_duplicates"]


def test_minted_images_alone_are_judged_raw_filtered_and_distilled(folder: Path) -> None:
    gaps = {row["arm"]: row for row in loaded(folder, "utility.json")["gaps"]}
    assert list(gaps) == ["synthetic_raw", "synthetic", "synthetic_soft"]
    assert "60 minted images alone, unfiltered, the classifier" in gaps["synthetic_raw"]["text"]
    assert gaps["synthetic_soft"]["text"].startswith("Distillation: ")
    assert "With the same soft labels those real images reach" in gaps["synthetic_soft"]["text"]
    metrics = loaded(folder, "metrics.json")
    for name in ("cas_gap_raw_points", "cas_gap_points", "cas_gap_soft_points"):
        assert name in metrics


def test_without_what_the_export_kept_back_its_arms_are_left_out(tmp_path: Path) -> None:
    sets(tmp_path)
    shutil.rmtree(tmp_path / "withheld")
    run(tmp_path)
    arms = {row["arm"] for row in loaded(tmp_path, "utility.json")["arms"]}
    withheld = {"synthetic_raw", "synthetic_soft", "real_as_many_soft"}
    assert set(ARMS) - arms == withheld | set(BALANCED)
    notes = " ".join(loaded(tmp_path, "utility.json")["notes"])
    assert "no arm of 'synthetic only, unfiltered' and of 'synthetic only, soft labels" in notes


def test_test_images_without_a_label_and_an_export_without_a_teacher_are_told(
    tmp_path: Path,
) -> None:
    rows = [
        replace(row, label=None) if row.split == "test" and number % 2 else row
        for number, row in enumerate(records({"train": 90, "val": 60, "test": 60}, 1, 3))
    ]
    write(tmp_path / "clean", rows, metadata={"class_names": ["0", "1", "2"], "channels": 1})
    origin = {"synthetic": {"data": ImageSet(tmp_path / "clean").fingerprint}}
    make(tmp_path / "synthetic" / "set", {"train": 60}, 2, 3, **origin)
    withhold(tmp_path, 3)
    (tmp_path / "withheld" / TEACHER).unlink()
    run(tmp_path)
    notes = " ".join(loaded(tmp_path, "utility.json")["notes"])
    assert "30 test images without a label were left out" in notes
    assert "Accuracy is of 30 real test images" in notes
    assert "no arm of 'synthetic only, soft labels" in notes


def test_a_test_split_without_any_label_judges_no_usefulness_and_says_why(tmp_path: Path) -> None:
    rows = [
        replace(row, label=None) if row.split == "test" else row
        for row in records({"train": 90, "val": 60, "test": 60}, 1, 3)
    ]
    write(tmp_path / "clean", rows, metadata={"class_names": ["0", "1", "2"], "channels": 1})
    make(tmp_path / "synthetic" / "set", {"train": 60}, 2, 3)
    run(tmp_path)
    told = loaded(tmp_path, "utility.json")
    assert "none of the test split has a label" in told["notes"][0] and not told["arms"]
    assert loaded(tmp_path, "copycheck.json")["verdict"]


def test_each_fraction_gets_its_verdict_in_words(folder: Path) -> None:
    rows = {
        (r["fraction"], r.get("comparison")): r for r in loaded(folder, "utility.json")["verdicts"]
    }
    assert rows["all", "classical"]["primary"] and not rows["all", "plain"]["primary"]
    assert rows["all", "classical"]["verdict"] in ("helps", "hurts", "inconclusive")
    assert "5 paired seeds, 60 test images" in rows["all", "plain"]["text"]
    assert rows["10 a class", None]["verdict"] == "not judged"


def test_pairs_are_pictures_with_the_nearest_images_named(folder: Path) -> None:
    pairs = loaded(folder, "copies.json")
    assert [pair["group"] for pair in pairs] == ["synthetic"] * 6 + ["held_out"] * 5
    train = set(ImageSet(folder / "clean").frame("train")["id"])
    for pair in pairs:
        assert {pair["train_id_pixels"], pair["train_id_classifier"]} <= train
        picture = read(folder / "report" / "copies" / pair["file"])
        assert picture.shape[1] > 2.9 * picture.shape[0]


def test_the_copy_check_claims_no_more_than_it_can_see(folder: Path) -> None:
    found = loaded(folder, "copycheck.json")
    assert "not a statement about privacy" in found["notes"][0]
    assert "Of planted copies the check found 100% of exact ones" in found["verdict"]
    assert {row["space"] for row in found["spaces"]} == {"pixels", "aligned", "classifier"}


def test_a_smaller_set_with_its_own_generator_is_judged_too(tmp_path: Path) -> None:
    sets(tmp_path)
    small = make(tmp_path / "few", {"train": 30}, 1, 3)
    make(tmp_path / "made", {"train": 30}, 3, 3, synthetic={"data": small.fingerprint})
    run(tmp_path, "--also", str(tmp_path / "few"), str(tmp_path / "made"))
    verdicts = loaded(tmp_path, "utility.json")["verdicts"]
    plain = {r["fraction"]: r for r in verdicts if r.get("comparison") == "plain"}
    assert set(plain) == {"all", "few: 30 images"}
    notes = [note for note in loaded(tmp_path, "utility.json")["notes"] if "no arm of" in note]
    assert len(notes) == 1 and notes[0].startswith("Fraction few: 30 images")
    assert max(r["p_holm"] for r in plain.values()) >= min(
        2 * min(r["p"] for r in plain.values()), 1
    )


def test_a_set_without_labels_is_checked_for_copies_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Flat:
        name = version = "efflite0"

        def __init__(self, device: object) -> None: ...

        def __call__(self, images: Iterable[np.ndarray]) -> np.ndarray:
            return np.stack([image.ravel() for image in images]).astype(np.float32)

    monkeypatch.setattr(copies, "EffLiteExtractor", Flat)
    sets(tmp_path, classes=0)
    marked = (
        Record(row["id"], image, "train", "x", 0)
        for row, image in ImageSet(tmp_path / "synthetic" / "set").images()
    )
    write(tmp_path / "synthetic", list(marked), metadata={"class_names": [], "channels": 1})
    run(tmp_path)
    assert loaded(tmp_path, "utility.json")["verdicts"] == []
    assert "copy_z_efflite0" in loaded(tmp_path, "metrics.json")
    assert "accuracy_real" not in loaded(tmp_path, "metrics.json")


def test_too_few_images_mean_no_copy_check_and_the_page_says_why(tmp_path: Path) -> None:
    make(tmp_path / "clean", {"train": 60, "val": 10, "test": 30}, 1, 3)
    make(tmp_path / "synthetic", {"train": 30}, 2, 3)
    run(tmp_path)
    assert loaded(tmp_path, "copycheck.json")["verdict"].startswith("Not checked. The copy check")
    assert loaded(tmp_path, "copies.json") == []
    assert "taken on trust" in " ".join(loaded(tmp_path, "utility.json")["notes"])


@pytest.mark.parametrize(
    ("classes", "facts", "message"),
    [
        (2, {}, "has the classes"),
        (3, {"synthetic": {"data": "another"}}, "trained on another set"),
    ],
)
def test_a_synthetic_set_of_another_origin_is_refused(
    tmp_path: Path, classes: int, facts: dict[str, Any], message: str
) -> None:
    make(tmp_path / "clean", {"train": 60, "val": 60, "test": 60}, 1, 3)
    make(tmp_path / "synthetic", {"train": 30}, 2, classes, **facts)
    with pytest.raises(ValueError, match=message):
        run(tmp_path)
    assert not (tmp_path / "report").exists()


def test_a_smaller_set_that_trains_on_test_images_is_refused(tmp_path: Path) -> None:
    sets(tmp_path)
    few = tmp_path / "few"
    rows = ({**row, "image": image} for row, image in ImageSet(tmp_path / "clean").images("test"))
    metadata = {"class_names": ["0", "1", "2"], "channels": 1}
    write(
        few,
        (Record(row["id"], row["image"], "train", "x", row["label"]) for row in rows),
        metadata=metadata,
    )
    make(tmp_path / "made", {"train": 30}, 3, 3)
    with pytest.raises(ValueError, match="60 test images"):
        run(tmp_path, "--also", str(few), str(tmp_path / "made"))


def test_an_export_without_an_image_set_is_refused_with_the_remedy(tmp_path: Path) -> None:
    make(tmp_path / "clean", {"train": 60, "val": 60, "test": 60}, 1, 3)
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / "manifest.parquet").touch()
    with pytest.raises(ValueError, match=r"add set to export_synthetic\.formats"):
        run(tmp_path)


def test_an_export_without_images_of_a_class_or_of_any_ends_in_a_report(tmp_path: Path) -> None:
    sets(tmp_path)
    facts = {"synthetic": {"data": ImageSet(tmp_path / "clean").fingerprint}}
    whole = list(records({"train": 60}, 2, 3))
    metadata = {"class_names": ["0", "1", "2"], "channels": 1, **facts}
    for labels, said in (((0, 2), "No minted image of 1"), ((), "0 of 3 classes have minted")):
        rows = [record for record in whole if record.label in labels]
        write(tmp_path / "synthetic" / "set", rows, metadata=metadata)
        run(tmp_path)
        assert any(said in note for note in loaded(tmp_path, "utility.json")["notes"])
    assert loaded(tmp_path, "copycheck.json")["verdict"].startswith("Not checked")
