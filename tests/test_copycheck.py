"""Claims about the copy check: it finds what is planted, and real images look like no copies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from skimage import data

from remint.copies.copycheck import authentic, compare_distances, excess_p, suspicion
from remint.copies.copystudy import CopyStudy, Groups, some, verdict
from remint.copies.planting import Alteration, kinds, plant
from remint.images.labelled import Labelled
from remint.metrics.alignment import AlignedSpace
from remint.metrics.nearest import nearest_rows
from remint.metrics.spaces import FeatureSpace, PixelSpace, Space, moved, thumbnails
from remint.metrics.suspects import calibrate, look, look_among_training, pixel_spaces

SIDE, SHIFT = 24, 0.1


def blobs(count: int, seed: int) -> np.ndarray:
    """Smooth random pictures, uint8 [N, 24, 24, 1]: no two alike."""
    rough = np.random.default_rng(seed).normal(size=(count, SIDE, SIDE))
    waves = np.fft.fft2(rough)
    low = np.abs(np.fft.fftfreq(SIDE)) < 0.15
    smooth = np.fft.ifft2(waves * np.outer(low, low)).real
    scaled = 128 + 60 * smooth / smooth.std()
    return np.clip(scaled, 0, 255).astype(np.uint8)[..., None]


def labelled(images: np.ndarray) -> Labelled:
    ids = tuple(str(number) for number in range(len(images)))
    return Labelled(images, np.arange(len(images)) % 2, ids)


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32)


TRAIN, VAL, TEST = (blobs(n, seed) for n, seed in ((300, 1), (150, 2), (150, 3)))
PIXELS = PixelSpace(TRAIN, SHIFT)
FEATURES = FeatureSpace("features", flat, flat(TRAIN))
ALIGNED = AlignedSpace(TRAIN)


def study(synthetic: np.ndarray) -> CopyStudy:
    groups = Groups(*(labelled(images) for images in (TRAIN, VAL, TEST, synthetic)))
    return CopyStudy(groups, [PIXELS, FEATURES], 0.02)


HONEST = study(blobs(150, 4))
SELFTEST = HONEST.selftest(60, kinds(8.0, SHIFT / 2, 5.0, SIDE), 0)


def words(found: CopyStudy) -> str:
    return verdict(found.suspects(2.0), SELFTEST, found.space_rows())


def test_nearest_rows_are_those_of_plain_arithmetic() -> None:
    drawn = np.random.default_rng(0)
    queries, reference = drawn.normal(size=(40, 7)), drawn.normal(size=(200, 7))
    found = nearest_rows(queries, reference, 2)
    distances = np.linalg.norm(queries[:, None] - reference[None], axis=2)
    assert np.array_equal(found.indices, np.argsort(distances, axis=1)[:, :2])
    assert np.allclose(found.distances, np.sort(distances, axis=1)[:, :2])


@pytest.mark.parametrize("space", [PIXELS, FEATURES, ALIGNED], ids=lambda space: space.name)
def test_an_exact_copy_lies_at_distance_zero(space: Space) -> None:
    found = space.neighbours(TRAIN[[5, 9]])
    assert np.allclose(found.nearest, 0, atol=2e-3) and np.allclose(found.ratio, 0, atol=2e-3)
    assert found.indices[:, 0].tolist() == [5, 9]


@pytest.mark.parametrize("space", [PIXELS, FEATURES, ALIGNED], ids=lambda space: space.name)
def test_a_training_image_is_not_its_own_fellow(space: Space) -> None:
    fellows = space.among_training(np.array([3, 4]))
    assert (fellows.nearest > 0.1).all() and not {3, 4} & set(fellows.indices[:, 0])
    assert np.allclose(fellows.nearest, space.neighbours(TRAIN[[3, 4]]).distances[:, 1])


def test_shifted_copies_are_seen_only_where_shifts_are_tried() -> None:
    copies = plant(TRAIN, 40, Alteration(shift=2), 0)
    tried, plain = PIXELS.neighbours(copies), PixelSpace(TRAIN, 0.0).neighbours(copies)
    assert np.median(tried.nearest) < 0.3 * np.median(plain.nearest)


def test_distances_are_grey_levels_whatever_the_channels() -> None:
    grey = np.full((1, SIDE, SIDE, 1), 100, np.uint8)
    for images in (grey, grey.repeat(3, axis=3)):
        difference = thumbnails(images) - thumbnails(images + 7)
        assert np.allclose(np.linalg.norm(difference, axis=1), 7, atol=1e-3)


@given(st.integers(-5, 5), st.integers(-5, 5))
def test_a_move_keeps_what_stays_in_view(down: int, right: int) -> None:
    image = TRAIN[:1]
    back = moved(moved(image, down, right), -down, -right)
    inner = slice(5, SIDE - 5)
    assert np.array_equal(back[:, inner, inner], image[:, inner, inner])


def test_real_images_raise_few_alarms_and_copies_many() -> None:
    alarm = calibrate(HONEST.validation, 0.04)
    assert alarm(HONEST.validation).mean() <= 0.04
    assert alarm(HONEST.test).mean() < 0.1
    assert alarm(look([PIXELS, FEATURES], TRAIN[:50])).all()


def test_one_real_image_that_equals_a_training_image_does_not_blind_the_check() -> None:
    held_out = np.concatenate([VAL, TRAIN[:1]])
    alarm = calibrate(look([PIXELS, FEATURES], held_out), 0.005)
    assert alarm(look([PIXELS, FEATURES], held_out)).sum() == 1
    assert alarm(look([PIXELS, FEATURES], plant(TRAIN, 40, Alteration(noise=8.0), 0))).all()


def test_an_only_training_image_raises_no_alarm_about_others() -> None:
    spaces = pixel_spaces(TRAIN[:1], SHIFT)
    alarm = calibrate(look_among_training(spaces, np.array([0])), 0.01)
    assert not alarm(look(spaces, TEST[:5])).any()


def test_the_self_test_finds_what_it_was_built_for() -> None:
    found = {row["kind"]: row["detected_share"] for row in SELFTEST}
    assert found["exact"] == 1.0
    assert min(found["noisy"], found["shifted"], found["noisy_shifted"]) > 0.9
    assert {row["planted"] for row in SELFTEST} == {60}


def test_planted_copies_come_again_and_are_of_the_same_images() -> None:
    exact, noisy = (plant(TRAIN, 20, damage, 3) for damage in (Alteration(), Alteration(noise=4.0)))
    assert np.array_equal(noisy, plant(TRAIN, 20, Alteration(noise=4.0), 3))
    error = noisy.astype(float) - exact
    assert 3 < error.std() < 5
    assert all((image == TRAIN).all(axis=(1, 2, 3)).any() for image in exact)


def test_one_stratum_gives_the_mann_whitney_z() -> None:
    drawn = np.random.default_rng(0)
    x, y = drawn.integers(0, 9, 60).astype(float), drawn.integers(1, 12, 80).astype(float)
    found = compare_distances(x, y, np.zeros(60), np.zeros(80))
    p = stats.mannwhitneyu(x, y, method="asymptotic", use_continuity=False).pvalue
    assert found.z < 0 and np.isclose(2 * stats.norm.sf(-found.z), p)
    assert found.nearer_share > 0.5


def test_another_mix_of_classes_is_no_sign_of_copying() -> None:
    drawn = np.random.default_rng(1)
    dense, sparse = drawn.normal(1, 0.1, 400), drawn.normal(5, 0.1, 400)
    synthetic = np.concatenate([dense[:180], sparse[:20]])
    held_out = np.concatenate([dense[200:220], sparse[200:380]])
    strata = (np.repeat([0, 1], [180, 20]), np.repeat([0, 1], [20, 180]))
    assert abs(compare_distances(synthetic, held_out, *strata).z) < 3
    blind = compare_distances(synthetic, held_out, np.zeros(200), np.zeros(200))
    assert blind.z < -10


def test_z_is_standard_normal_without_copying() -> None:
    drawn = np.random.default_rng(2)
    strata = np.arange(60) % 3
    z = [
        compare_distances(drawn.random(60) + strata, drawn.random(60) + strata, strata, strata).z
        for _ in range(300)
    ]
    assert abs(np.mean(z)) < 0.2 and 0.85 < np.std(z) < 1.15


def test_sets_without_a_common_class_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="share no class"):
        compare_distances(np.ones(3), np.ones(3), np.zeros(3), np.ones(3))


def test_noisy_copies_are_not_authentic_and_real_images_mostly_are() -> None:
    copies = PIXELS.neighbours(plant(TRAIN, 60, Alteration(noise=8.0), 0))
    assert not authentic(copies, PIXELS).any()
    assert authentic(PIXELS.neighbours(TEST), PIXELS).mean() > 0.3


def test_an_excess_is_measured_against_false_alarms() -> None:
    assert excess_p(2, 100, 2, 100) > 0.5
    assert excess_p(20, 100, 2, 100) < 0.001


def test_honest_images_are_no_copies_in_words() -> None:
    assert words(HONEST).startswith("No more near-copies than among real images")
    assert all(abs(row["z"]) < 4 for row in HONEST.space_rows())


def test_a_fifth_of_noisy_copies_is_called_possible_copies() -> None:
    mixed = np.concatenate([blobs(120, 5), plant(TRAIN, 30, Alteration(noise=8.0, shift=1), 1)])
    found = study(mixed)
    assert words(found).startswith("Possible copies")
    worst = found.pairs(20)[:20]
    assert all(int(pair.facts["id"]) >= 120 and pair.facts["suspected"] for pair in worst)


def test_a_single_exact_copy_is_named() -> None:
    found = study(np.concatenate([blobs(149, 5), TRAIN[7:8]]))
    assert words(found).startswith("Copies: 1 image")
    first = found.pairs(3)[0]
    assert first.facts["train_id_pixels"] == "7"
    assert all(np.array_equal(picture, TRAIN[7]) for picture in first.pictures)


def test_suspicion_is_lowest_for_copies() -> None:
    copies = look([PIXELS, FEATURES], TRAIN[:10])
    assert suspicion(copies, HONEST.validation).max() == 0
    assert np.median(suspicion(HONEST.test, HONEST.validation)) > 0.05


def test_too_few_held_out_images_are_refused() -> None:
    few = labelled(VAL[:20])
    with pytest.raises(ValueError, match="50 images in train, val and test"):
        Groups(labelled(TRAIN), few, few, few).check()


def test_a_sample_keeps_order_and_comes_again() -> None:
    images = labelled(TRAIN)
    part = some(images, 40, 1, "test")
    assert list(map(int, part.ids)) == sorted(map(int, part.ids)) and len(set(part.ids)) == 40
    assert part.ids == some(images, 40, 1, "test").ids and some(images, 0, 1, "test") is images


def textures() -> np.ndarray:
    """Tiles of scikit-image's brick, grass and gravel, uint8 [192, 64, 64, 1]."""
    wholes = np.stack([data.brick(), data.grass(), data.gravel()])
    tiles = wholes.reshape(3, 8, 64, 8, 64).swapaxes(2, 3).reshape(-1, 64, 64, 1)
    return tiles[np.random.default_rng(0).permutation(len(tiles))]


def test_noisy_and_shifted_copies_of_textures_are_seen() -> None:
    tiles = textures()
    spaces = pixel_spaces(tiles[:92], 0.08)
    alarm = calibrate(look(spaces, tiles[92:142]), 0.005)
    assert alarm(look(spaces, tiles[142:])).mean() < 0.2  # of 50 images, by four rules
    for alteration in (Alteration(noise=10.0), Alteration(shift=4), Alteration(10.0, 4)):
        assert alarm(look(spaces, plant(tiles[:92], 60, alteration, 1))).mean() > 0.9


def test_alignment_sees_a_fine_texture_that_small_pixels_average_away() -> None:
    grain = np.random.default_rng(0).normal(128, 8, (150, 64, 64, 1)).clip(0, 255).astype(np.uint8)
    copies = plant(grain[:100], 50, Alteration(noise=8.0, shift=4), 0)
    detected = []
    for space in (PixelSpace(grain[:100], 0.08), AlignedSpace(grain[:100])):
        alarm = calibrate(look([space], grain[100:]), 0.01)
        detected.append(alarm(look([space], copies)).mean())
    assert detected[0] < 0.8 and detected[1] == 1.0


def test_pictures_of_little_contrast_are_no_copies_for_lying_near_and_copies_are() -> None:
    def faint(images: np.ndarray) -> np.ndarray:
        return np.rint(128 + (images.astype(float) - 128) / 40).astype(np.uint8)

    training = faint(TRAIN)
    for minted, identical in ((faint(blobs(150, 4)), 0), (training[:150], 150)):
        groups = Groups(*map(labelled, (training, faint(VAL), faint(TEST), minted)))
        found = CopyStudy(groups, [PixelSpace(training, SHIFT)], 0.02)
        assert np.median(found.synthetic.by_space["pixels"].nearest) < 2.0
        suspects = found.suspects(2.0)
        assert suspects["identical"] == identical
        assert verdict(suspects, SELFTEST, []).startswith("Copies: ") == bool(identical)


def test_as_many_equal_images_as_among_real_ones_are_no_news() -> None:
    usual = HONEST.suspects(2.0) | {"identical": 3, "identical_p": 0.4}
    assert not verdict(usual, SELFTEST, []).startswith("Copies")


def test_a_check_that_misses_planted_copies_cannot_tell() -> None:
    blind = [{**row, "detected_share": 0.24} for row in SELFTEST]
    said = verdict(HONEST.suspects(2.0), blind, HONEST.space_rows())
    assert said.startswith("Can't tell") and "noisy (std 8)" in said and "turned" not in said[:150]


def test_real_images_among_their_own_calibrate_like_held_out_ones() -> None:
    spaces = [PIXELS, ALIGNED]
    alarm = calibrate(look_among_training(spaces, np.arange(len(TRAIN))), 0.04)
    assert alarm(look(spaces, TEST)).mean() < 0.1
    assert alarm(look(spaces, TRAIN[:50])).all()
