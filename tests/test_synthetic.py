"""Claims about minting until each class has enough, and about what the filters turn down."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from remint.classifier.train import ClassifierConfig
from remint.export.filtering import Sieve, seed_of
from remint.export.filters import FILTERS, Candidate, FilterConfig
from remint.export.marking import SigningConfig
from remint.export.minting import ExportConfig, minted, wanted
from remint.export.nearness import Grown, SmallPixels, between, nearest
from remint.export.reals import Reals, RealsConfig, read_reals
from remint.images.imageset import ImageSet, Record, pixel_id, write

SIDE, CLASSES = 16, 3
OFF = FilterConfig(None, False, None, None, None, None)
ALL = FilterConfig(4.0, True, 0.5, 0.5, 0.5, None)
REALS = RealsConfig(SmallPixels(8, 1), ClassifierConfig(60, 32, 3e-3, 8, "none"), 500)
CONFIG = ExportConfig(
    1, "cpu", 5, False, 4.0, ("set",), ALL, REALS, 1, SigningConfig("", "", "es256")
)


def drawn(label: int, seed: int, channels: int = 1) -> np.ndarray:
    """A bright bar, its place told by the class, with its own grain: uint8 [16, 16, C]."""
    image = np.random.default_rng(seed).integers(0, 90, (SIDE, SIDE, channels))
    image[2 + 4 * label : 6 + 4 * label, 2:14] += 160
    return image.astype(np.uint8)


class FakeMinter:
    """Draws what `drawn` says; `tricks` are given out first, in order."""

    size, classes = SIDE, CLASSES
    fingerprint = "0" * 32

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
def reals(clean: ImageSet) -> Reals:
    return read_reals(clean, (SIDE, SIDE, 1), CLASSES, REALS, 1, "cpu")


def judged(tricks: Sequence[np.ndarray], label: int, reals: Reals, filters: FilterConfig) -> list:
    sieve = Sieve(FakeMinter(tricks=tricks), reals, filters, 1)
    labels = np.full(len(tricks), label, np.int64)
    return sieve.judged(labels, np.arange(len(tricks)))


def reasons(found: Sequence[Candidate]) -> list[str | None]:
    return [None if c.rejection is None else c.rejection.filter for c in found]


def test_every_class_gets_what_it_wants_and_classes_take_turns(reals: Reals) -> None:
    sieve = Sieve(FakeMinter(), reals, ALL, 1)
    kept = [c for c in minted(sieve, CONFIG, np.array([5, 2, 0])) if c.rejection is None]
    assert sorted(c.label for c in kept) == [0] * 5 + [1] * 2
    assert [c.label for c in kept[:4]] == [0, 1, 0, 1]


def test_balance_brings_real_and_minted_together_to_one_number_a_class() -> None:
    counts = np.array([10, 4, 7])
    want = wanted(replace(CONFIG, per_class=2, balance=True), 3, counts)
    assert (counts + want == 12).all()
    with pytest.raises(ValueError, match="balanced already"):
        wanted(replace(CONFIG, per_class=0, balance=True), 2, np.array([3, 3]))
    with pytest.raises(ValueError, match="needs the real set"):
        wanted(replace(CONFIG, balance=True), 2, None)


def test_the_same_seed_mints_the_same_set_and_another_one_another(reals: Reals) -> None:
    def ids(seed: int) -> list[str]:
        config = replace(CONFIG, seed=seed)
        sieve = Sieve(FakeMinter(), reals, ALL, seed)
        return [c.id for c in minted(sieve, config, np.array([4, 4, 4]))]

    assert ids(1) == ids(1) and not set(ids(1)) & set(ids(2))


def test_an_image_can_be_minted_again_alone_from_its_seed(reals: Reals) -> None:
    for found in minted(Sieve(FakeMinter(), reals, ALL, 1), CONFIG, np.array([3, 3, 3])):
        alone = FakeMinter().mint(np.array([found.label]), np.array([found.seed]))[0]
        assert pixel_id(alone) == found.id


def test_seeds_survive_any_json_reader_and_do_not_repeat() -> None:
    seeds = {seed_of(1, "export", label, k) for label in range(10) for k in range(500)}
    assert len(seeds) == 5000 and max(seeds) < 2**53
    assert all(int(float(seed)) == seed for seed in seeds)


def test_a_class_that_passes_no_filter_ends_after_its_attempts(reals: Reals) -> None:
    blank = [np.zeros((SIDE, SIDE, 1), np.uint8)] * 1000
    sieve = Sieve(FakeMinter(tricks=blank), reals, ALL, 1)
    found = list(minted(sieve, CONFIG, np.array([10, 0, 0])))
    assert len(found) == 40 and set(reasons(found)) == {"validity"}


def test_a_copy_of_a_training_image_is_named_even_noisy_or_shifted(
    clean: ImageSet, reals: Reals
) -> None:
    copied = clean.at(1)[1].astype(np.int16)
    noise = np.random.default_rng(0).integers(-6, 7, copied.shape)
    shifted = np.concatenate([copied[1:], copied[-1:]])
    tricks = [copied.astype(np.uint8), np.clip(copied + noise, 0, 255).astype(np.uint8)]
    tricks.append(shifted.astype(np.uint8))
    found = judged(tricks, 0, reals, ALL)
    assert reasons(found) == ["exact_duplicate", "training_copy", "training_copy"]
    assert {c.nearest_id for c in found} == {clean.at(1)[0]["id"]}
    assert found[0].nearest_distance == 0.0


def test_an_exact_copy_of_a_held_out_image_is_turned_down_too(
    clean: ImageSet, reals: Reals
) -> None:
    row, held_out = clean.at(0)
    assert row["split"] == "val"
    assert reasons(judged([held_out], 0, reals, ALL)) == ["exact_duplicate"]


def test_repeats_within_the_export_are_turned_down_across_batches(reals: Reals) -> None:
    first = drawn(0, 77)
    near = first.copy()
    near[0, 0] ^= 3
    sieve = Sieve(FakeMinter(tricks=[first, first, near, near]), reals, ALL, 1)
    labels = np.zeros(3, np.int64)
    assert reasons(sieve.judged(labels, labels)) == [None, "exact_duplicate", "near_duplicate"]
    assert reasons(sieve.judged(labels[:1], labels[:1])) == ["near_duplicate"]


def test_an_image_of_another_class_lacks_confidence(reals: Reals) -> None:
    assert reals.accuracy == 1.0
    assert reasons(judged([drawn(2, 5), drawn(0, 6)], 0, reals, ALL)) == ["confidence", None]


def test_the_discriminator_turns_down_about_its_share_of_each_class(reals: Reals) -> None:
    sieve = Sieve(FakeMinter(), reals, replace(OFF, discriminator=0.25), 1)
    for label in range(CLASSES):
        labels = np.full(400, label, np.int64)
        found = reasons(sieve.judged(labels, np.arange(400)))
        assert 0.15 < found.count("discriminator") / 400 < 0.35


def test_each_filter_can_be_switched_off(clean: ImageSet, reals: Reals) -> None:
    blank = np.zeros((SIDE, SIDE, 1), np.uint8)
    tricks = [blank, blank, clean.at(1)[1], drawn(2, 5)]
    assert reasons(judged(tricks, 0, reals, OFF)) == [None] * 4


def test_filters_that_cannot_be_had_are_said_so(clean: ImageSet) -> None:
    class Vae(FakeMinter):
        def logits(self, images: np.ndarray, labels: np.ndarray) -> None:
            return None

    notes = " ".join(Sieve(Vae(), None, replace(ALL, discriminator=0.1), 1).absent)
    assert "No real set" in notes and "confidence" in notes and "discriminator" in notes
    assert not Sieve(FakeMinter(), None, OFF, 1).absent


def test_an_unlabelled_colour_set_is_filtered_without_a_classifier(tmp_path: Path) -> None:
    clean = clean_set(tmp_path / "clean", channels=3)
    reals = read_reals(clean, (SIDE, SIDE, 3), 1, REALS, 1, "cpu")
    assert reals.classifier is None and reals.accuracy is None and len(reals.spacing) == 1
    minter = FakeMinter(3, tricks=[clean.at(1)[1]])
    minter.classes, minter.class_names = 1, []
    found = Sieve(minter, reals, ALL, 1).judged(np.zeros(2, np.int64), np.arange(2))
    assert reasons(found) == ["exact_duplicate", None] and found[1].confidence is None


def test_a_set_of_other_images_than_the_generators_is_refused(clean: ImageSet) -> None:
    with pytest.raises(ValueError, match=r"\(16, 16, 1\), the generator makes \(16, 16, 3\)"):
        read_reals(clean, (SIDE, SIDE, 3), CLASSES, REALS, 1, "cpu")


def test_nearest_finds_what_a_plain_search_finds() -> None:
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (60, 12, 12, 3), dtype=np.uint8)
    space = SmallPixels(6, 0)
    small = space.of(images).astype(np.float64)
    distances, places = nearest(space.variants(images[:20]), space.of(images), np.arange(20))
    plain = np.sqrt(((small[:20, None] - small) ** 2).mean(2))
    plain[np.arange(20), np.arange(20)] = np.inf
    assert (places == plain.argmin(1)).all()
    np.testing.assert_allclose(distances, plain.min(1), rtol=1e-5)
    np.testing.assert_allclose(
        between(space.variants(images[:9])),
        np.sqrt(((small[:9, None] - small[:9]) ** 2).mean(2)),
        rtol=1e-4,
        atol=0.1,
    )


def test_trying_shifts_brings_a_shifted_copy_near() -> None:
    image = np.random.default_rng(1).integers(0, 256, (1, 24, 24, 1), dtype=np.uint8)
    moved = np.roll(image, (1, -1), (1, 2))
    for shift, low, high in ((0, 20.0, 90.0), (1, 0.0, 12.0)):
        space = SmallPixels(8, shift)
        distance = nearest(space.variants(moved), space.of(image))[0][0]
        assert low <= distance <= high


def test_with_nothing_to_compare_distances_are_infinite_and_rows_grow() -> None:
    space, grown = SmallPixels(4, 1), Grown()
    images = np.zeros((2, 8, 8, 1), np.uint8)
    assert np.isinf(nearest(space.variants(images), grown.rows)[0]).all()
    for k in range(100):
        grown.add(np.full(16, k, np.uint8))
    assert (grown.rows[:, 0] == np.arange(100)).all()


def test_impossible_values_are_refused_with_a_sentence() -> None:
    for wrong in ({"per_class": 0}, {"formats": ()}, {"formats": ("set", "set")}):
        with pytest.raises(ValueError, match="needed"):
            replace(CONFIG, **wrong)
    assert len(FILTERS) == 6
