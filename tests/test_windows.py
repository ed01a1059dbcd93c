"""Claims about damage on a window: it is what the whole image would have shown there."""

import numpy as np
import pytest

from remint.core.randomness import generator
from remint.corruptions.composition import Step
from remint.corruptions.config import TrainingConfig
from remint.corruptions.pairs import draw_training_recipe
from remint.corruptions.registry import KINDS, MASKED_OPERATIONS, OPERATIONS, draw, replay
from remint.corruptions.windows import REACH, replay_window

CHAINS = {"old_photo", "second_order", "everyday"}
NOISES = {"gaussian_noise", "poisson", "salt_and_pepper", "speckle", "plain_noise", "sensor_noise"}
NOISY = CHAINS | NOISES
SHAPE = (90, 131, 3)
WINDOWS = [
    (slice(0, 32), slice(0, 32)),
    (slice(29, 61), slice(50, 82)),
    (slice(58, 90), slice(99, 131)),
]


def picture(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    rows, columns, channels = np.indices(shape)
    waves = 128 + 60 * np.sin(rows / 7) + 50 * np.cos(columns / (3 + channels))
    return (waves + np.random.default_rng(0).normal(0, 5, shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", sorted(set(KINDS) - NOISY))
def test_a_window_shows_what_the_whole_image_would_show_there(kind: str, channels: int) -> None:
    image = picture((*SHAPE[:2], channels))
    for severity in (1, 5):
        recipe = draw(image.shape, kind, severity, generator(0, "t", kind, severity))
        whole = replay(image, recipe).image
        for window in WINDOWS:
            apart = np.abs(replay_window(image, recipe, *window).astype(int) - whole[window])
            assert apart.max() <= 1 and (apart > 0).mean() < 0.01  # large kernels round as they may


def test_steps_after_one_another_reach_as_far_as_their_sum() -> None:
    image, stream = picture(), generator(0, "t", "chain")
    kinds = ("double_jpeg", "motion_blur", "scratches", "gaussian_blur", "fading", "jpeg")
    recipe = [step for kind in kinds for step in draw(image.shape, kind, 2, stream)]
    for window in WINDOWS:
        expected = replay(image, recipe).image[window].astype(int)
        assert np.abs(replay_window(image, recipe, *window) - expected).mean() < 0.02


@pytest.mark.parametrize("kind", sorted(NOISES))
def test_noise_on_a_window_has_the_distribution_of_noise_on_the_whole(kind: str) -> None:
    image, seen = np.full((96, 96, 1), 90, np.uint8), ([], [])
    for number in range(60):
        recipe = draw(image.shape, kind, 2, generator(0, "t", kind, number))
        recipe += draw(image.shape, "gaussian_blur", 1, generator(0, "t", kind))
        seen[0].append(replay(image, recipe).image[32:64, 32:64])
        seen[1].append(replay_window(image, recipe, slice(32, 64), slice(32, 64)))
    whole, window = (np.stack(side).astype(float) for side in seen)
    assert window.mean() == pytest.approx(whole.mean(), abs=0.7)
    assert window.std() == pytest.approx(whole.std(), rel=0.03)
    beside = [np.mean((x[:, :, 1:] - 90) * (x[:, :, :-1] - 90)) for x in (whole, window)]
    assert beside[1] == pytest.approx(beside[0], rel=0.1)


def test_windows_of_mixed_training_damage_are_as_strong_as_the_whole() -> None:
    steps = tuple(Step(kind, (1.0, 5.0), 0.3) for kind in sorted(KINDS))
    config, image, square = TrainingConfig(0, 0.1, 0.6, steps), picture(), WINDOWS[1]
    errors: tuple[list[float], list[float]] = [], []
    for number in range(150):
        recipe = draw_training_recipe(SHAPE, "an id", config, 1, number)
        pair = replay(image, recipe).image[square], replay_window(image, recipe, *square)
        for kept, damaged in zip(errors, pair, strict=True):
            assert damaged.shape == (32, 32, 3)
            kept.append(float(np.square(damaged.astype(float) - image[square]).mean()))
    assert np.mean(errors[1]) == pytest.approx(np.mean(errors[0]), rel=0.03)


def test_every_operation_states_its_reach_and_an_unknown_one_is_refused() -> None:
    assert set(REACH) == set(OPERATIONS) | set(MASKED_OPERATIONS)
    with pytest.raises(ValueError, match="unknown here"):
        replay_window(picture(), [{"operation": "rust"}], slice(0, 8), slice(0, 8))


def test_an_undamaged_window_is_a_copy() -> None:
    image = picture()
    window = replay_window(image, [], slice(8, 16), slice(8, 16))
    assert np.array_equal(window, image[8:16, 8:16]) and not np.shares_memory(window, image)
