"""Claims about the classical methods: each helps against the damage that it is named for."""

import numpy as np
import pytest
from skimage import data

from remint.core.randomness import generator
from remint.corruptions.registry import KINDS, corrupt
from remint.metrics.pixels import psnr_score
from remint.restorer_evaluation.classical import (
    METHODS,
    Damage,
    Method,
    TunedMethod,
    method_for,
    tune,
)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[100:212, 150:262])


def damaged(image: np.ndarray, kind: str, severity: int, draw: int = 0) -> Damage:
    made = corrupt(image, kind, severity, generator(0, "test", kind, draw))
    return Damage(made.image, made.recipe, made.mask)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", sorted(set(METHODS) - {"stains", "fading", "old_photo"}))
def test_the_method_of_a_kind_mends_it(photo: np.ndarray, kind: str, channels: int) -> None:
    target = photo[:, :, :channels]
    damages = [damaged(target, kind, 3, draw) for draw in range(2)]
    method = method_for(kind)
    assert method is not None
    tuned = tune(method, [(damages[0], target)])
    restored = tuned(damages[1])
    assert restored.shape == target.shape
    assert restored.dtype == np.uint8
    assert psnr_score(restored, target) > psnr_score(damages[1].image, target)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("size", [(28, 28), (17, 40)])
def test_every_kind_has_a_method_that_keeps_shape_and_type(
    photo: np.ndarray, kind: str, channels: int, size: tuple[int, int]
) -> None:
    damage = damaged(photo[: size[0], : size[1], :channels], kind, 2)
    before = damage.image.copy()
    method = method_for(kind)
    assert method is not None
    for strength in method.strengths:
        restored = method.apply(damage, strength)
        assert restored.shape == damage.image.shape
        assert restored.dtype == np.uint8
    assert np.array_equal(damage.image, before)


def test_an_untouched_image_needs_no_method() -> None:
    assert method_for("clean") is None


def test_real_damage_gets_a_method_although_no_recipe_is_known(photo: np.ndarray) -> None:
    method = method_for("real")
    assert method is not None
    noisy = damaged(photo, "gaussian_noise", 2).image
    restored = tune(method, [(Damage(noisy, [], None), photo)])(Damage(noisy, [], None))
    assert psnr_score(restored, photo) > psnr_score(noisy, photo)


def test_inpainting_touches_the_hole_only(photo: np.ndarray) -> None:
    damage = damaged(photo, "holes", 3)
    assert damage.mask is not None
    restored = METHODS["holes"].apply(damage, 3)
    assert np.array_equal(restored[damage.mask == 0], photo[damage.mask == 0])


def test_tuning_picks_the_strength_with_the_highest_mean_psnr(photo: np.ndarray) -> None:
    def darken(damage: Damage, strength: float) -> np.ndarray:
        return damage.image - np.uint8(strength)

    brighter = np.clip(photo, 0, 200) + np.uint8(20)
    method = Method("darken", darken, (5, 10, 20, 30))
    damage = Damage(brighter, [], None)
    assert tune(method, [(damage, np.clip(photo, 0, 200))]) == TunedMethod(method, 20)


def test_a_uniform_image_survives_every_method() -> None:
    flat = np.full((32, 32, 1), 90, np.uint8)
    for kind, method in METHODS.items():
        for strength in method.strengths:
            restored = method.apply(Damage(flat, [], None), strength)
            assert restored.shape == flat.shape, kind
            assert len(np.unique(restored)) == 1, kind
