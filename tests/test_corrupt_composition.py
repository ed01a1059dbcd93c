"""Claims about compositions of kinds."""

import numpy as np
import pytest

from remint.core.randomness import generator
from remint.corruptions.composition import Step, compose, one_of
from remint.corruptions.registry import replay

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
BLUR, NOISE = Step("gaussian_blur", (1, 5), 1.0), Step("gaussian_noise", (2, 2), 0.5)


def operations(steps: list[Step], draw: int) -> list[str]:
    recipe = compose(IMAGE.shape, steps, generator(0, "test", "", draw))
    return [step["operation"] for step in recipe]


def test_steps_happen_in_the_order_given_and_as_often_as_their_probability_says() -> None:
    drawn = [operations([BLUR, NOISE], draw) for draw in range(400)]
    assert all(names in (["gaussian_blur"], ["gaussian_blur", "gaussian_noise"]) for names in drawn)
    assert sum(len(names) == 2 for names in drawn) / 400 == pytest.approx(0.5, abs=0.1)


def test_severities_cover_their_range_also_between_the_columns_of_the_table() -> None:
    step = Step("gaussian_noise", (1, 5), 1.0)
    recipes = [compose(IMAGE.shape, [step], generator(0, "t", "", n)) for n in range(300)]
    stds = [recipe[0]["std"] for recipe in recipes]
    assert 0.08 <= min(stds) < 0.1 and 0.34 < max(stds) <= 0.38 and len(set(stds)) > 250


def test_an_image_that_no_step_picks_comes_back_whole_and_is_a_copy() -> None:
    recipe = compose(IMAGE.shape, [Step("jpeg", (1, 5), 0.0)], generator(0, "test", ""))
    damaged = replay(IMAGE, recipe)
    assert damaged.recipe == [] and np.array_equal(damaged.image, IMAGE)
    assert not np.shares_memory(damaged.image, IMAGE)


def test_one_of_takes_exactly_one_in_proportion_to_probability() -> None:
    steps = [Step("jpeg", (1, 5), 0.2), Step("pixelate", (1, 5), 0.6), Step("webp", (1, 1), 0.0)]
    recipes = [one_of(IMAGE.shape, steps, generator(0, "t", "", n)) for n in range(400)]
    assert all(len(recipe) == 1 for recipe in recipes)
    share = sum(recipe[0]["operation"] == "jpeg" for recipe in recipes) / 400
    assert share == pytest.approx(0.25, abs=0.08)
    assert {recipe[0]["operation"] for recipe in recipes} == {"jpeg", "there_and_back"}


def test_masks_of_several_steps_are_joined() -> None:
    steps = [Step("box_holes", (3, 3), 1.0), Step("scratches", (5, 5), 1.0)]
    recipe = compose(IMAGE.shape, steps, generator(0, "test", "x"))
    whole, first = replay(IMAGE, recipe), replay(IMAGE, recipe[:1])
    assert whole.mask is not None and first.mask is not None
    assert (whole.mask >= first.mask).all() and (whole.mask > first.mask).any()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("rust", (1.0, 2.0), 0.5), "No kind"),
        (("jpeg", (3.0, 2.0), 0.5), "the lower one comes first"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused(
    values: tuple[str, tuple[float, float], float], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Step(*values)
