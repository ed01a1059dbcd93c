"""Claims about minting until each class has enough, and about what the filters reject."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from remint.classifier.teacher import TeacherConfig
from remint.core.ranges import check
from remint.export.card import PapersConfig
from remint.export.filtering import Filter, absent, build_filters, filtered, rejecting
from remint.export.filters import FILTERS, SETTINGS, Candidate, FilterConfig, MintedBatch
from remint.export.marking import SigningConfig
from remint.export.minting import (
    ExportConfig,
    discriminator_limits,
    mint_batch,
    minted,
    seed_of,
    wanted,
)
from remint.export.reals import RealsConfig, RealSide, read_reals
from remint.images.imageset import ImageSet, Record, pixel_id, write
from remint.metrics.suspects import look

SIDE, CLASSES = 16, 3
OFF = FilterConfig(None, False, None, None, None, None)
ALL = FilterConfig(4.0, True, 0.5, None, 0.01, 0.01)
REALS = RealsConfig(0.07, TeacherConfig(8, 32, 3e-3, 100, 20, 3, 0.1, "none"), 500)
CONFIG = ExportConfig(
    1, "cpu", (), 5, False, 4.0, ("set",), ALL, REALS, 1, SigningConfig("", "", "es256"),
    PapersConfig("unknown", ""),
)  # fmt: skip


def drawn(label: int, seed: int, channels: int = 1) -> np.ndarray:
    """A bright bar, its place told by the class, with its own grain: uint8 [16, 16, C]."""
    image = np.random.default_rng(seed).integers(0, 90, (SIDE, SIDE, channels))
    image[2 + 4 * label : 6 + 4 * label, 2:14] += 160
    return image.astype(np.uint8)


class FakeMinter:
    """Draws what `drawn` says; `tricks` are given out first, in order."""

    size, classes = SIDE, CLASSES
    fingerprint = "0" * 32
    card: ClassVar[dict[str, Any]] = {}

    def __init__(self, channels: int = 1, tricks: Sequence[np.ndarray] = ()) -> None:
        self.channels, self.tricks = channels, list(tricks)
        self.class_names = ["low", "mid", "high"]

    def mint(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        made = [drawn(int(k), int(s), self.channels) for k, s in zip(labels, seeds, strict=True)]
        given, self.tricks = self.tricks[: len(made)], self.tricks[len(made) :]
        return np.stack([*given, *made[len(given) :]])

    def logits(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        return images.mean((1, 2, 3)).astype(np.float32)


def clean_set(path: Path, channels: int = 1, counts: Sequence[int] = (40, 40, 40)) -> ImageSet:
    names = [(label, k) for label, count in enumerate(counts) for k in range(count)]
    records = []
    for label, k in names:
        image = drawn(label, 10_000 * (label + 1) + k, channels)
        split = "val" if k % 5 == 0 else "train"
        records.append(Record(pixel_id(image), image, split, f"{label}/{k}.png", label))
    metadata = {"class_names": ["low", "mid", "high"], "channels": channels, "created": {}}
    write(path, records, metadata=metadata)
    return ImageSet(path)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return clean_set(tmp_path_factory.mktemp("real") / "clean")


@pytest.fixture(scope="module")
def reals(clean: ImageSet) -> RealSide:
    return read_reals(clean, (SIDE, SIDE, 1), CLASSES, REALS, 1, "cpu")


def filters_of(reals: RealSide | None, config: FilterConfig = ALL) -> list[Filter]:
    model = FakeMinter()
    limits = discriminator_limits(model, config.discriminator, 1)
    return build_filters(config, reals, model.logits, limits)


def sieved(
    images: Sequence[np.ndarray], label: int, reals: RealSide, config: FilterConfig = ALL
) -> list[Candidate]:
    return filtered(batch(images, label), filters_of(reals, config))


def batch(images: Sequence[np.ndarray], label: int) -> MintedBatch:
    labels = np.full(len(images), label, np.int64)
    return MintedBatch(np.stack(images), labels, np.arange(len(images)))


def reasons(found: Sequence[Candidate]) -> list[str | None]:
    return [None if c.rejection is None else c.rejection.filter for c in found]


def test_every_class_gets_what_it_wants_and_classes_take_turns(reals: RealSide) -> None:
    candidates = minted(FakeMinter(), filters_of(reals), CONFIG, np.array([5, 2, 0]))
    kept = [c for c in candidates if c.rejection is None]
    assert sorted(c.label for c in kept) == [0] * 5 + [1] * 2
    assert [c.label for c in kept[:4]] == [0, 1, 0, 1]


def test_balance_brings_real_and_minted_together_to_one_number_a_class() -> None:
    counts, names = np.array([10, 4, 7]), ["low", "mid", "high"]
    for per_class, level in ((0, 10), (8, 10), (12, 12)):
        want = wanted(replace(CONFIG, per_class=per_class, balance=True), names, counts)
        assert (counts + want == level).all()
    with pytest.raises(ValueError, match="balanced already"):
        wanted(replace(CONFIG, per_class=0, balance=True), names, np.array([3, 3, 3]))
    with pytest.raises(ValueError, match="needs the real set"):
        wanted(replace(CONFIG, balance=True), names, None)


def test_some_classes_alone_are_minted_under_their_own_numbers() -> None:
    names = ["low", "mid", "high"]
    only = replace(CONFIG, classes=("high",))
    assert wanted(only, names, None).tolist() == [0, 0, 5]
    assert wanted(replace(only, balance=True), names, np.array([10, 4, 7])).tolist() == [0, 0, 3]
    with pytest.raises(ValueError, match=r"no class that was asked for has fewer.*largest \(10\)"):
        wanted(
            replace(CONFIG, classes=("low",), balance=True, per_class=0),
            names,
            np.array([10, 4, 7]),
        )
    with pytest.raises(ValueError, match=r"found tall.*low, mid, high"):
        wanted(replace(CONFIG, classes=("tall",)), names, None)


def test_the_same_seed_mints_the_same_set_and_another_one_another(reals: RealSide) -> None:
    def ids(seed: int) -> list[str]:
        config = replace(CONFIG, seed=seed)
        candidates = minted(FakeMinter(), filters_of(reals), config, np.array([4, 4, 4]))
        return [c.id for c in candidates]

    assert ids(1) == ids(1) and not set(ids(1)) & set(ids(2))


def test_an_image_can_be_minted_again_alone_from_its_seed(reals: RealSide) -> None:
    for candidate in minted(FakeMinter(), filters_of(reals), CONFIG, np.array([3, 3, 3])):
        alone = FakeMinter().mint(np.array([candidate.label]), np.array([candidate.seed]))[0]
        assert pixel_id(alone) == candidate.id


def test_seeds_survive_any_json_reader_and_do_not_repeat() -> None:
    seeds = {seed_of(1, "export", label, k) for label in range(10) for k in range(500)}
    assert len(seeds) == 5000 and max(seeds) < 2**53
    assert all(int(float(seed)) == seed for seed in seeds)


def test_a_class_that_passes_no_filter_ends_after_its_attempts(reals: RealSide) -> None:
    blank = [np.zeros((SIDE, SIDE, 1), np.uint8)] * 1000
    model = FakeMinter(tricks=blank)
    candidates = list(minted(model, filters_of(reals), CONFIG, np.array([10, 0, 0])))
    assert len(candidates) == 40 and set(reasons(candidates)) == {"validity"}


def test_a_copy_of_a_training_image_is_named_even_noisy_or_shifted(
    clean: ImageSet, reals: RealSide
) -> None:
    copied = clean.at(1)[1].astype(np.int16)
    noise = np.random.default_rng(0).integers(-6, 7, copied.shape)
    shifted = np.concatenate([copied[1:], copied[-1:]])
    tricks = [copied.astype(np.uint8), np.clip(copied + noise, 0, 255).astype(np.uint8)]
    tricks.append(shifted.astype(np.uint8))
    candidates = sieved(tricks, 0, reals)
    assert reasons(candidates) == ["exact_duplicate", "training_copy", "training_copy"]
    assert {c.nearest_id for c in candidates[1:]} == {clean.at(1)[0]["id"]}
    alone = sieved(tricks, 0, reals, replace(OFF, training_copy=0.01))
    assert set(reasons(alone)) == {"training_copy"} and alone[0].nearest_distance == 0.0


def test_the_filter_rejects_what_the_copy_check_would_suspect(reals: RealSide) -> None:
    images = np.stack([drawn(0, seed) for seed in range(30)])
    images[:10] = reals.train.images[:10] // 2 + 40
    suspected = reals.alarm(0.01)(look(reals.spaces, images))
    rejected = reasons(sieved(list(images), 0, reals, replace(OFF, training_copy=0.01)))
    assert [reason == "training_copy" for reason in rejected] == suspected.tolist()
    assert 0 < suspected.sum() < 30


def test_an_exact_copy_of_a_held_out_image_is_rejected_too(
    clean: ImageSet, reals: RealSide
) -> None:
    row, held_out = clean.at(0)
    assert row["split"] == "val"
    assert reasons(sieved([held_out], 0, reals)) == ["exact_duplicate"]


def test_repeats_within_the_export_are_rejected_across_batches(reals: RealSide) -> None:
    first = drawn(0, 77)
    near = first.copy()
    near[0, 0] ^= 3
    filters = filters_of(reals)
    candidates = filtered(batch([first, first, near], 0), filters)
    assert reasons(candidates) == [None, "exact_duplicate", "near_duplicate"]
    near[0, 1] ^= 3
    assert reasons(filtered(batch([near], 0), filters)) == ["near_duplicate"]


def test_an_image_of_another_class_lacks_confidence(reals: RealSide) -> None:
    assert reals.accuracy == 1.0
    assert reasons(sieved([drawn(2, 5), drawn(0, 6)], 0, reals)) == ["confidence", None]


def test_the_discriminator_rejects_about_its_share_of_each_class(reals: RealSide) -> None:
    filters = filters_of(reals, replace(OFF, discriminator=0.25))
    for label in range(CLASSES):
        many = mint_batch(FakeMinter(), np.full(400, label, np.int64), range(400))
        assert 0.15 < reasons(filtered(many, filters)).count("discriminator") / 400 < 0.35


def test_each_filter_can_be_switched_off_and_its_score_is_known(
    clean: ImageSet, reals: RealSide
) -> None:
    blank = np.zeros((SIDE, SIDE, 1), np.uint8)
    candidates = sieved([blank, blank, clean.at(1)[1], drawn(2, 5)], 0, reals, OFF)
    assert reasons(candidates) == [None] * 4
    for candidate in candidates:
        scores = (candidate.confidence, candidate.discriminator_score, candidate.nearest_distance)
        assert None not in scores


def test_filters_that_cannot_be_had_are_said_so() -> None:
    notes = " ".join(absent(replace(ALL, discriminator=0.1), None, None))
    assert "No real set" in notes and "confidence" in notes and "discriminator" in notes
    assert not absent(OFF, None, None)


def test_a_filter_counts_as_able_to_reject_where_it_runs_with_a_limit(reals: RealSide) -> None:
    config = replace(ALL, discriminator=0.1)
    limits = np.zeros(3, np.float32)
    assert set(rejecting(config, reals, limits)) == set(FILTERS)
    assert rejecting(config, None, None) == ["validity", "exact_duplicate"]
    assert rejecting(OFF, reals, None) == []


def test_an_unlabelled_colour_set_is_filtered_without_a_classifier(tmp_path: Path) -> None:
    clean = clean_set(tmp_path / "clean", channels=3)
    reals = read_reals(clean, (SIDE, SIDE, 3), 1, REALS, 1, "cpu")
    assert reals.classifier is None and reals.accuracy is None and reals.counts.tolist() == [96]
    candidates = sieved([clean.at(1)[1], drawn(0, 2, 3)], 0, reals)
    assert reasons(candidates) == ["exact_duplicate", None] and candidates[1].confidence is None


def test_a_set_of_other_images_than_the_generators_is_refused(clean: ImageSet) -> None:
    with pytest.raises(ValueError, match=r"\(16, 16, 1\), the generator makes \(16, 16, 3\)"):
        read_reals(clean, (SIDE, SIDE, 3), CLASSES, REALS, 1, "cpu")


def test_impossible_values_are_refused_with_a_sentence() -> None:
    for wrong in ({"per_class": 0}, {"formats": ()}, {"formats": ("set", "set")}):
        with pytest.raises(ValueError, match="needed"):
            replace(CONFIG, **wrong)
    for share in (-1.0, 0.0, 0.5):
        with pytest.raises(ValueError, match="training_copy: found"):
            check(replace(OFF, training_copy=share))
    assert FILTERS.keys() == SETTINGS.keys()
