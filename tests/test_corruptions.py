"""Claims about single kinds of damage."""

import json
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from skimage import data

from remint.core.randomness import generator
from remint.corruptions import blur, noise
from remint.corruptions.registry import KINDS, MASKED_OPERATIONS, OPERATIONS, corrupt, replay

MASKED = ("scratches", "text", "ink", "holes", "box_holes", "stroke_holes")
NOISES = ("gaussian_noise", "poisson", "salt_and_pepper", "speckle")
# By chance alone a hole, a stain or a chain of severity 2 can cost more than one of severity 3.
CHANCY = ("old_photo", "second_order", "motion_blur", "everyday", "sensor_noise")
ORDERLY = [kind for kind in KINDS if kind not in CHANCY]

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]))
pictures = shapes.flatmap(lambda shape: npst.arrays(np.uint8, shape))


def photo(side: int = 96, channels: int = 3) -> np.ndarray:
    image = cv2.resize(data.astronaut(), (side, side), interpolation=cv2.INTER_AREA)
    return image if channels == 3 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]


def mean_squared_error(kind: str, severity: float, image: np.ndarray, draws: int = 12) -> float:
    errors = [
        corrupt(image, kind, severity, generator(0, "test", kind, draw)).image - image.astype(float)
        for draw in range(draws)
    ]
    return float(np.mean(np.square(errors)))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(image=pictures, severity=st.floats(1, 5), seed=st.integers(0, 2**32))
def test_any_image_keeps_its_form_and_is_made_again_bit_equal_from_its_recipe(
    kind: str, image: np.ndarray, severity: float, seed: int
) -> None:
    before = image.copy()
    damaged = corrupt(image, kind, severity, generator(seed, "test", kind))
    assert damaged.image.shape == image.shape and damaged.image.dtype == np.uint8
    again = replay(image, json.loads(json.dumps(damaged.recipe)))
    assert np.array_equal(again.image, damaged.image)
    assert (again.mask is None) == (damaged.mask is None)
    assert again.mask is None or np.array_equal(again.mask, damaged.mask)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("kind", MASKED)
@settings(max_examples=20, deadline=None)
@given(image=pictures, severity=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_outside_the_mask_nothing_changes(
    kind: str, image: np.ndarray, severity: int, seed: int
) -> None:
    damaged = corrupt(image, kind, severity, generator(seed, "test", kind))
    assert damaged.mask is not None and damaged.mask.dtype == np.uint8
    assert damaged.mask.shape == image.shape[:2] and set(np.unique(damaged.mask)) <= {0, 255}
    changed = (damaged.image != image).any(axis=2)
    assert not (changed & (damaged.mask == 0)).any()


@pytest.mark.parametrize("kind", ["holes", "box_holes", "stroke_holes"])
@pytest.mark.parametrize("channels", [1, 3])
def test_holes_hide_every_masked_pixel_and_leave_some_others(kind: str, channels: int) -> None:
    for draw in range(20):
        damaged = corrupt(photo(64, channels), kind, 5, generator(0, "test", kind, draw))
        assert damaged.mask is not None
        assert (damaged.image[damaged.mask == 255] == 128).all()
        assert 0 < (damaged.mask == 0).mean() < 1


@pytest.mark.parametrize("kind", ORDERLY)
@pytest.mark.parametrize(("side", "channels"), [(96, 3), (28, 1)])
def test_a_higher_severity_costs_more(kind: str, side: int, channels: int) -> None:
    image = photo(side, channels)
    mild, middle, strong = (mean_squared_error(kind, s, image) for s in (1, 3, 5))
    assert 0 < mild < middle < strong


@pytest.mark.parametrize("kind", CHANCY)
def test_chains_and_lines_cost_more_at_five_than_at_one(kind: str) -> None:
    image = photo()
    assert mean_squared_error(kind, 1, image) < mean_squared_error(kind, 5, image)


@pytest.mark.parametrize("kind", NOISES)
def test_noise_is_fresh_for_each_image_and_each_channel(kind: str) -> None:
    image = np.full((64, 64, 3), 120, np.uint8)
    a, b = (corrupt(image, kind, 3, generator(0, "test", name)).image for name in "ab")
    assert not np.array_equal(a, b)
    alike = np.array_equal(a[:, :, 0], a[:, :, 1])
    assert alike == (kind == "salt_and_pepper")  # impulses hit a pixel, not a channel


@pytest.mark.parametrize("kind", KINDS)
def test_grey_pixels_in_three_channels_need_not_stay_grey_but_one_channel_stays_one(
    kind: str,
) -> None:
    damaged = corrupt(photo(40, 1), kind, 4, generator(0, "test", kind))
    assert damaged.image.shape == (40, 40, 1)


@pytest.mark.parametrize("severity", range(1, 6))
def test_gaussian_noise_has_the_published_standard_deviation(severity: int) -> None:
    image = np.full((256, 256, 1), 128, np.uint8)
    std = (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1]
    recipe = corrupt(image, "gaussian_noise", severity, generator(0, "test", "")).recipe
    field = noise.normal_field(recipe[0]["key"], image.shape) * recipe[0]["std"]
    assert field.std() == pytest.approx(std, rel=0.01)
    assert field.mean() == pytest.approx(0, abs=0.01)


def test_the_normal_field_has_the_moments_of_a_normal_distribution() -> None:
    z = noise.normal_field("0" * 31 + "7", (512, 512, 3)).astype(np.float64)
    assert z.mean() == pytest.approx(0, abs=0.005) and z.var() == pytest.approx(1, abs=0.01)
    assert (z**4).mean() == pytest.approx(3, abs=0.05)
    assert np.corrcoef(z[:, :-1].ravel(), z[:, 1:].ravel())[0, 1] == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize("photons", [3, 12, 60])
def test_shot_noise_keeps_the_light_and_has_poissons_variance(photons: int) -> None:
    level = 30  # so dark that hardly a pixel is clipped
    image = np.full((300, 300, 1), level, np.uint8)
    noisy = noise.poisson(image, photons=photons, key="0" * 31 + "5").astype(float)
    assert noisy.mean() == pytest.approx(level, rel=0.02)
    assert noisy.var() == pytest.approx(level * 255 / photons, rel=0.03)


def test_shot_noise_does_not_depend_on_the_other_grey_levels_of_the_image() -> None:
    flat = np.full((32, 32, 1), 90, np.uint8)
    rich = np.concatenate([flat, np.arange(1024, dtype=np.uint8).reshape(32, 32, 1)])
    for operation in ("poisson", "level_noise"):
        values = {"photons": 12} if operation == "poisson" else {"scale": 1.0, "grey": False}
        key = "0" * 31 + "9"
        alone = OPERATIONS[operation](flat, key=key, **values)
        beside = OPERATIONS[operation](rich, key=key, **values)
        assert np.array_equal(alone, beside[:32])


def test_salt_and_pepper_hits_its_share_half_white_half_black() -> None:
    image = np.full((256, 256, 3), 120, np.uint8)
    noisy = noise.salt_and_pepper(image, share=0.2, key="0" * 31 + "3")
    assert (noisy == 255).all(axis=2).mean() == pytest.approx(0.1, abs=0.01)
    assert (noisy == 0).all(axis=2).mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("kind", ["gaussian_blur", "defocus", "motion_blur", "second_order"])
@settings(max_examples=10, deadline=None)
@given(level=st.integers(0, 255), severity=st.integers(1, 5))
def test_a_flat_image_has_nothing_to_blur(kind: str, level: int, severity: int) -> None:
    image = np.full((20, 33, 3), level, np.uint8)
    recipe = corrupt(image, kind, severity, generator(0, "test", kind)).recipe
    blurs = [step for step in recipe if "blur" in step["operation"]]
    assert np.array_equal(replay(image, blurs).image, image)


def test_a_thin_kernel_in_tiles_gives_what_the_whole_kernel_gives() -> None:
    kernel = np.eye(31)
    image = photo(50)
    whole, tiled = blur.convolve(image, kernel), blur.convolve_thin(image, kernel)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_lengths_grow_with_the_image() -> None:
    def draw(kind: str, side: int) -> dict[str, float]:
        return KINDS[kind]((side, side * 2, 3), 3, generator(0, "test", kind))[0]

    for kind, key in (("gaussian_blur", "sigma"), ("defocus", "radius"), ("motion_blur", "extent")):
        assert draw(kind, 448)[key] == pytest.approx(2 * draw(kind, 224)[key])


def test_motion_blur_runs_along_its_angle() -> None:
    point = np.zeros((41, 41, 1), np.uint8)
    point[20, 20] = 255
    level = blur.motion_blur(point, extent=15, sigma=8, angle=0)[:, :, 0]
    steep = blur.motion_blur(point, extent=15, sigma=8, angle=90)[:, :, 0]
    assert (level > 0).any(axis=0).sum() >= 13 and (level > 0).any(axis=1).sum() == 1
    assert np.array_equal(level, steep.T)


def test_the_second_jpeg_of_a_pair_never_lines_up_with_the_first() -> None:
    for draw in range(50):
        first = KINDS["double_jpeg"]((64, 64, 3), 3, generator(0, "test", "", draw))[0]
        assert (first["down"], first["right"]) != (0, 0)
        assert 0 <= first["down"] < 8 and 0 <= first["right"] < 8


def test_jpeg_and_webp_keep_the_order_of_the_channels() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[:, :, 0] = 200
    for kind in ("jpeg", "webp", "double_jpeg"):
        means = corrupt(red, kind, 1, generator(0, "test", kind)).image.mean(axis=(0, 1))
        assert means[0] > 150 and means[1:].max() < 50


def test_contrast_keeps_each_channels_mean() -> None:
    image = photo()
    dull = corrupt(image, "contrast", 3, generator(0, "test", "")).image
    assert dull.mean(axis=(0, 1)) == pytest.approx(image.mean(axis=(0, 1)), abs=1)
    assert dull.std() == pytest.approx(
        math.sqrt(0.04 * image.var(axis=(0, 1)).mean() + dull.mean(axis=(0, 1)).var()), rel=0.05
    )


def test_the_second_order_chain_blurs_resizes_adds_noise_and_compresses_twice() -> None:
    recipes = [
        KINDS["second_order"]((256, 256, 3), 5, generator(0, "t", "", n)) for n in range(200)
    ]
    names = [[step["operation"] for step in recipe] for recipe in recipes]
    assert all(n.count("jpeg") == 2 and n.count("resize") == 3 for n in names)
    assert all(n.count("gaussian_noise") + n.count("level_noise") == 2 for n in names)
    steps = [step for recipe in recipes for step in recipe]
    qualities = [step["quality"] for step in steps if step["operation"] == "jpeg"]
    stds = [step["std"] * 255 for step in steps if step["operation"] == "gaussian_noise"]
    assert 30 <= min(qualities) < 35 and 90 < max(qualities) <= 95
    assert min(stds) > 0.9 and 25 < max(stds) <= 30
    assert {step["operation"] for step in steps} > {"sinc_blur", "plateau_blur", "generalised_blur"}


def test_every_operation_of_a_recipe_is_known_to_replay() -> None:
    used = {
        step["operation"]
        for kind in KINDS
        for draw in range(40)
        for step in KINDS[kind]((64, 48, 3), 3, generator(0, "test", kind, draw))
    }
    assert used == set(OPERATIONS) | set(MASKED_OPERATIONS)


@pytest.mark.parametrize(
    ("image", "kind", "severity", "words"),
    [
        (np.zeros((4, 4), np.uint8), "jpeg", 1, "needed are uint8"),
        (np.zeros((4, 4, 3), np.float32), "jpeg", 1, "needed are uint8"),
        (np.zeros((0, 4, 3), np.uint8), "jpeg", 1, "no pixels"),
        (np.zeros((4, 4, 3), np.uint8), "rust", 1, "No kind of damage is called 'rust'"),
        (np.zeros((4, 4, 3), np.uint8), "jpeg", 6, "Severity 6"),
    ],
)
def test_what_cannot_be_damaged_is_named(
    image: np.ndarray, kind: str, severity: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        corrupt(image, kind, severity, generator(0, "test", ""))


def test_an_operation_of_a_newer_version_is_refused() -> None:
    with pytest.raises(ValueError, match="'melt' is unknown"):
        replay(photo(8), [{"operation": "melt"}])
