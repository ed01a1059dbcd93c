"""Claims about the corrupted set: which rows it holds, and that nothing else decides them."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from remint.corruptions import pairs
from remint.corruptions.composition import Step
from remint.corruptions.config import CorruptConfig, EvaluateConfig, TrainingConfig
from remint.corruptions.pairs import (
    FIELDS,
    corrupted_records,
    draw_training,
    planned_parts,
    planned_rows,
    set_metadata,
    training_config,
    training_spec,
)
from remint.corruptions.registry import replay
from remint.images.imageset import IMAGE, ImageSet, Record, pixel_id, write
from remint.restorer.data import DataConfig, PairSource

Maker = Callable[..., ImageSet]
STEPS = (Step("gaussian_noise", (1.0, 5.0), 0.5), Step("holes", (1.0, 5.0), 0.5))
CONFIG = CorruptConfig(
    seed=3,
    workers=1,
    engine="local",
    evaluate=EvaluateConfig(("gaussian_noise", "holes"), (1, 4), True, ("jpeg",), 2, 4),
    training=TrainingConfig(3, 0.2, 0.5, STEPS),
)
NOTHING_DRAWN = replace(
    CONFIG,
    evaluate=EvaluateConfig((), (), False, (), None, None),
    training=replace(CONFIG.training, draws=0, steps=()),
)


@pytest.fixture
def clean_set(tmp_path: Path) -> Maker:
    def make(count: int = 40, paired: bool = False) -> ImageSet:
        pixels = np.random.default_rng(0)
        records = []
        for number in range(count):
            image = pixels.integers(0, 256, (12, 9 + number % 3, 1), dtype=np.uint8)
            split = ("train", "val", "test", "train")[number % 4]
            extra = {"damaged": 255 - image if number % 2 == 0 else None} if paired else {}
            records.append(Record(pixel_id(image), image, split, f"{number}.png", 1, extra))
        fields = [pa.field("damaged", IMAGE)] if paired else []
        metadata = {"class_names": ["a", "b"], "channels": 1, "created": {}}
        write(tmp_path / "clean", records, metadata=metadata, extra_fields=fields)
        return ImageSet(tmp_path / "clean")

    return make


def records_of(clean: ImageSet, config: CorruptConfig) -> Iterator[Record]:
    return corrupted_records(clean, config, planned_rows(clean, config))


def same(a: Record, b: Record) -> bool:
    masks = [record.extra["mask"] for record in (a, b)]
    return (
        a.id == b.id
        and np.array_equal(a.image, b.image)
        and a.extra["recipe"] == b.extra["recipe"]
        and (masks[0] is masks[1] is None or np.array_equal(*masks))
    )


def test_parts_hold_all_rows_in_order_however_they_are_cut(
    clean_set: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = clean_set()
    whole = list(planned_rows(clean, CONFIG))
    assert list(planned_parts(clean, CONFIG)) == [tuple(whole)]
    monkeypatch.setattr(pairs, "LEAST_PART", 600)
    parts = list(planned_parts(clean, CONFIG))
    assert len(parts) == 23 and [row for part in parts for row in part] == whole


def test_an_image_is_damaged_the_same_way_whatever_else_is_in_the_set(clean_set: Maker) -> None:
    wide = replace(CONFIG, evaluate=replace(CONFIG.evaluate, val_per_slice=None))
    many = {record.id: record for record in records_of(clean_set(40), wide)}
    few = list(records_of(clean_set(12), wide))
    common = [record for record in few if record.id in many]
    assert len(common) > 20 and all(same(record, many[record.id]) for record in common)


def test_every_row_is_made_again_from_clean_pixels_and_recipe(
    clean_set: Maker, tmp_path: Path
) -> None:
    clean = clean_set()
    records = records_of(clean, CONFIG)
    metadata = set_metadata(clean, CONFIG)
    count = write(tmp_path / "corrupted", records, metadata=metadata, extra_fields=FIELDS)
    originals = {row["id"]: image for row, image in clean.images()}
    for row, image in ImageSet(tmp_path / "corrupted").images():
        again = replay(originals[row["clean_id"]], json.loads(row["recipe"]))
        assert np.array_equal(again.image, image)
        assert (
            again.mask is None if row["mask"] is None else np.array_equal(again.mask, row["mask"])
        )
        count -= 1
    assert count == 0


def test_each_slice_of_val_and_test_holds_the_same_images_as_many_as_asked(
    clean_set: Maker,
) -> None:
    rows = list(records_of(clean_set(), CONFIG))
    for split, count in (("val", 2), ("test", 4)):
        slices: dict[tuple[str, int], set[str]] = {}
        for record in (record for record in rows if record.split == split):
            key = (record.extra["kind"], record.extra["severity"])
            slices.setdefault(key, set()).add(record.extra["clean_id"])
        trained = {(k, s) for k in ("gaussian_noise", "holes") for s in (1, 4)} | {("clean", 0)}
        unseen = {("jpeg", 1), ("jpeg", 4)} if split == "test" else set()
        assert set(slices) == trained | unseen
        assert all(len(ids) == count for ids in slices.values())
        assert len(set.union(*slices.values())) == count


def test_held_out_kinds_and_evaluated_slices_never_stand_in_the_training_split(
    clean_set: Maker,
) -> None:
    rows = [r for r in records_of(clean_set(), CONFIG) if r.split == "train"]
    assert {record.extra["kind"] for record in rows} == {"mixed", "clean"}
    assert "jpeg" not in "".join(record.extra["recipe"] for record in rows)
    assert Counter(record.extra["clean_id"] for record in rows).most_common()[-1][1] == 3


def test_rows_follow_the_splits_and_then_the_clean_set(clean_set: Maker) -> None:
    clean = clean_set()
    order = {row["id"]: (row["split"], row["position"]) for row, _ in clean.images()}
    places = [order[record.extra["clean_id"]] for record in records_of(clean, CONFIG)]
    rank = {"train": 0, "val": 1, "test": 2}
    assert places == sorted(places, key=lambda place: (rank[place[0]], place[1]))


def test_the_clean_slice_is_untouched_and_says_so(clean_set: Maker) -> None:
    clean = clean_set()
    originals = {row["id"]: image for row, image in clean.images()}
    whole = [r for r in records_of(clean, CONFIG) if r.extra["kind"] == "clean"]
    assert {record.split for record in whole} == {"train", "val", "test"}
    for record in whole:
        assert record.extra["recipe"] == "[]" and record.extra["mask"] is None
        assert np.array_equal(record.image, originals[record.extra["clean_id"]])


def test_training_draws_are_those_that_would_be_drawn_on_the_fly(clean_set: Maker) -> None:
    clean = clean_set()
    config = training_config(json.loads(json.dumps(set_metadata(clean, CONFIG)))["training"])
    assert config == CONFIG.training
    originals = {row["id"]: image for row, image in clean.images()}
    stored = [r for r in records_of(clean, CONFIG) if r.split == "train"]
    for record in stored:
        clean_id, draw = record.extra["clean_id"], int(record.id.rsplit(".", 1)[1])
        fresh = draw_training(originals[clean_id], clean_id, config, CONFIG.seed, draw)
        assert np.array_equal(fresh.image, record.image)


def test_the_shares_of_whole_and_singly_damaged_images_are_as_asked() -> None:
    image = np.full((16, 16, 1), 90, np.uint8)
    steps = tuple(replace(step, probability=1.0) for step in STEPS)
    config = TrainingConfig(0, 0.2, 0.5, steps)
    sizes = Counter(
        len(draw_training(image, "an id", config, 1, draw).recipe) for draw in range(1000)
    )
    assert sizes[0] / 1000 == pytest.approx(0.2, abs=0.05)
    assert sizes[1] / 1000 == pytest.approx(0.5, abs=0.05)
    assert sizes[2] / 1000 == pytest.approx(0.3, abs=0.05)


def test_another_seed_draws_other_damage(clean_set: Maker) -> None:
    clean = clean_set()
    a, b = (list(records_of(clean, replace(CONFIG, seed=s))) for s in (3, 4))
    drawn = [(x, y) for x, y in zip(a, b, strict=True) if x.extra["kind"] == "gaussian_noise"]
    assert drawn and not any(np.array_equal(x.image, y.image) for x, y in drawn)


def test_the_users_own_pairs_pass_through_in_every_split(clean_set: Maker) -> None:
    clean = clean_set(paired=True)
    damaged = {row["id"]: row["damaged"] for row, _ in clean.images()}
    rows = list(records_of(clean, NOTHING_DRAWN))
    assert {r.extra["kind"] for r in rows} == {"real"}
    assert len(rows) == sum(half is not None for half in damaged.values()) == 20
    assert {record.split for record in rows} == {"train", "test"}
    assert all(np.array_equal(r.image, damaged[r.extra["clean_id"]]) for r in rows)


def test_without_steps_and_without_real_pairs_there_is_nothing_to_train_on(
    clean_set: Maker,
) -> None:
    with pytest.raises(ValueError, match="nothing to train on"):
        next(records_of(clean_set(), NOTHING_DRAWN))


def test_without_kinds_and_without_real_pairs_there_is_nothing_to_measure_by(
    clean_set: Maker,
) -> None:
    config = replace(CONFIG, evaluate=NOTHING_DRAWN.evaluate)
    with pytest.raises(ValueError, match="nothing to measure by"):
        next(records_of(clean_set(), config))


def test_real_pairs_are_not_measured_on_damage_that_nothing_draws() -> None:
    with pytest.raises(
        ValueError, match=r"or empty evaluate\.kinds to measure on real pairs alone"
    ):
        replace(CONFIG, training=NOTHING_DRAWN.training)


def test_the_plan_names_as_many_rows_as_are_made(clean_set: Maker) -> None:
    clean = clean_set()
    made = list(records_of(clean, CONFIG))
    assert len(list(planned_rows(clean, CONFIG))) == len(made) == 20 * 3 + 2 * 5 + 4 * 7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kinds": ("gaussian_noise", "webp")}, "webp, which no step of training.steps draws"),
        ({"unseen": ("holes",), "kinds": ("gaussian_noise",)}, "holes, which training.steps draw"),
        ({"kinds": ("rust",)}, "'rust', which is no kind"),
        ({"severities": (1, 1)}, "give each number once"),
        ({"unseen": ("gaussian_noise",)}, "names a kind twice"),
    ],
)
def test_an_evaluation_that_makes_no_sense_is_refused(
    change: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        replace(CONFIG, evaluate=replace(CONFIG.evaluate, **change))


@pytest.mark.parametrize(
    "change",
    [{"clean_share": 0.9}, {"steps": (replace(STEPS[0], probability=0.0),)}],
)
def test_training_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"training\."):
        replace(CONFIG.training, **change)


def shown_in(patch: torch.Tensor, whole: np.ndarray) -> bool:
    """Whether the patch, turned in one of the eight ways, is a part of the whole."""
    levels = np.rint((patch[0].numpy() + 1) * 127.5)
    parts = np.lib.stride_tricks.sliding_window_view(whole[:, :, 0], levels.shape)
    turned = [np.rot90(face, n) for face in (levels, levels.T) for n in range(4)]
    return any((parts == face).all(axis=(2, 3)).any() for face in turned)


def test_pairs_drawn_on_the_fly_are_windows_of_the_whole_damage(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, 50, 1), dtype=np.uint8) for _ in range(3)]
    records = [Record(pixel_id(i), i, "train", f"{n}.png") for n, i in enumerate(images)]
    write(tmp_path / "clean", records, metadata={"class_names": [], "channels": 1})
    clean = ImageSet(tmp_path / "clean")
    blur = TrainingConfig(0, 0.0, 1.0, (Step("gaussian_blur", (1.0, 5.0), 1.0),))
    meta = {**set_metadata(clean, CONFIG), "training": training_spec(blur)}
    write(tmp_path / "corrupted", [], metadata=meta, extra_fields=FIELDS)
    config = DataConfig(4, 24, "dihedral", None, 0, 0.5, 0.0)
    source = PairSource(clean, ImageSet(tmp_path / "corrupted"), config, seed=5)
    wholes = [
        draw_training(image, pixel_id(image), blur, CONFIG.seed, epoch).image
        for image in images
        for epoch in range(4)
    ]
    damaged, undamaged = source[np.arange(12)]
    assert torch.equal(damaged[6:], source[np.arange(6, 12)][0])
    for patch, target in zip(damaged, undamaged, strict=True):
        assert any(shown_in(patch, whole) for whole in wholes) and not torch.equal(patch, target)
