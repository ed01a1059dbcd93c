"""Claims about the figures of single images and of sets of features."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from skimage.metrics import structural_similarity
from torch_fidelity.metric_fid import fid_statistics_to_metric

from remint.metrics.frechet import (
    frechet_distance,
    frechet_distance_of_features,
    frechet_distance_of_few,
    statistics,
)
from remint.metrics.intervals import bootstrap_mean
from remint.metrics.kernel import kernel_distance, kernel_distance_of_subsets, squared_mmd
from remint.metrics.pixels import PSNR_CAP, psnr_score, ssim_score


def features(count: int, dimensions: int, seed: int, shift: float = 0.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(dimensions, dimensions))
    return (generator.normal(size=(count, dimensions)) @ mixing + shift).astype(np.float32)


def picture(seed: int, shape: tuple[int, ...] = (40, 33, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_psnr_of_an_error_of_one_level_everywhere_is_48_13_db() -> None:
    target = np.full((8, 8, 1), 100, np.uint8)
    assert psnr_score(target + 1, target) == pytest.approx(20 * math.log10(255), abs=1e-12)


def test_identical_images_have_the_capped_psnr_and_an_ssim_of_one() -> None:
    image = picture(0)
    assert psnr_score(image, image) == PSNR_CAP
    assert ssim_score(image, image) == pytest.approx(1.0)


def test_no_psnr_exceeds_that_of_identical_images() -> None:
    target = np.zeros((4000, 4000, 1), np.uint8)
    nearly = target.copy()
    nearly[0, 0] = 1
    assert psnr_score(nearly, target) == PSNR_CAP


def test_psnr_inside_a_mask_looks_at_nothing_else() -> None:
    target, image = picture(1), picture(1)
    hole = np.zeros((40, 33), bool)
    hole[3:9, 4:20] = True
    image[hole] = 255 - image[hole]
    assert psnr_score(image, target, ~hole) == PSNR_CAP
    assert psnr_score(image, target, hole) < psnr_score(image, target) < PSNR_CAP
    assert math.isnan(psnr_score(image, target, np.zeros_like(hole)))


def test_the_mean_of_per_image_psnr_is_above_the_psnr_of_the_pooled_error() -> None:
    target = np.zeros((2, 8, 8, 1), np.uint8)
    image = np.stack([target[0] + 2, target[1] + 40])
    mean = np.mean([psnr_score(x, y) for x, y in zip(image, target, strict=True)])
    pooled = psnr_score(image.reshape(16, 8, 1), target.reshape(16, 8, 1))
    assert mean == pytest.approx((42.11 + 16.09) / 2, abs=0.01)
    assert pooled < mean - 9


@pytest.mark.parametrize("shape", [(40, 33, 3), (11, 11, 1), (28, 28, 1)])
def test_ssim_agrees_with_the_published_window_as_scikit_image_computes_it(
    shape: tuple[int, ...],
) -> None:
    x, y = picture(2, shape), picture(2, shape) // 2 + picture(3, shape) // 2
    published = structural_similarity(
        x, y, data_range=255, channel_axis=2, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, win_size=11,
    )  # fmt: skip
    assert ssim_score(x, y) == pytest.approx(published, abs=1e-9)


def test_ssim_does_not_exist_below_its_window() -> None:
    assert math.isnan(ssim_score(picture(0, (10, 40, 1)), picture(1, (10, 40, 1))))


def test_images_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        psnr_score(picture(0, (8, 8, 1)), picture(0, (8, 8, 3)))


def test_frechet_distance_agrees_with_torch_fidelity_and_with_the_matrix_root() -> None:
    real, fake = features(400, 24, 1), features(300, 24, 2, shift=0.3) * 1.2
    ours = frechet_distance(statistics(real), statistics(fake))
    both = [
        {"mu": x.astype(np.float64).mean(0), "sigma": np.cov(x.astype(np.float64), rowvar=False)}
        for x in (real, fake)
    ]
    theirs = fid_statistics_to_metric(*both, verbose=False)["frechet_inception_distance"]
    root = sqrtm(both[0]["sigma"] @ both[1]["sigma"]).real
    difference = both[0]["mu"] - both[1]["mu"]
    formula = difference @ difference + np.trace(both[0]["sigma"] + both[1]["sigma"] - 2 * root)
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert ours == pytest.approx(formula, rel=1e-6)


def test_the_nuclear_norm_short_cut_is_exact() -> None:
    real, fake = features(30, 90, 1), features(40, 90, 2, shift=0.2)
    long = frechet_distance(statistics(real), statistics(fake))
    assert frechet_distance_of_few(real, fake) == pytest.approx(long, rel=1e-6)
    assert frechet_distance_of_features(real, fake) == pytest.approx(long, rel=1e-6)


def test_frechet_distance_of_a_set_to_itself_is_zero_and_to_a_shift_its_square() -> None:
    real = statistics(features(500, 8, 3))
    moved = statistics(features(500, 8, 3) + np.float32(2.0))
    assert frechet_distance(real, real) == pytest.approx(0.0, abs=1e-5)
    assert frechet_distance(real, moved) == pytest.approx(8 * 2.0**2, rel=1e-4)


def test_frechet_distance_of_equal_distributions_falls_with_the_count_but_kid_does_not() -> None:
    few = [features(60, 32, seed) / 6 for seed in (1, 2)]
    many = [features(2000, 32, seed) / 6 for seed in (1, 2)]
    assert frechet_distance_of_features(*few) > 5 * frechet_distance_of_features(*many)
    for pair in (few, many):
        kid = kernel_distance(*pair)
        assert abs(kid.mean) < 4 * kid.standard_error


def test_one_image_has_no_frechet_distance() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        statistics(features(1, 4, 0))


def test_squared_mmd_is_the_mean_over_pairs_of_different_images() -> None:
    x, y = features(7, 5, 1).astype(np.float64), features(9, 5, 2).astype(np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 5 + 1) ** 3)

    reals = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    fakes = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    across = np.mean([kernel(a, b) for a in x for b in y])
    assert squared_mmd(x, y) == pytest.approx(reals + fakes - 2 * across, rel=1e-9)


def test_kid_of_subsets_as_large_as_the_sets_is_the_full_estimate() -> None:
    real, fake = features(50, 6, 1) / 4, features(50, 6, 2, 0.4) / 4
    generator = np.random.default_rng(0)
    subsets = kernel_distance_of_subsets(real, fake, 3, 50, generator)
    assert subsets.mean == pytest.approx(kernel_distance(real, fake).mean, rel=1e-9)
    with pytest.raises(ValueError, match="smaller subsets"):
        kernel_distance_of_subsets(real, fake, 3, 51, generator)


def test_the_standard_error_of_kid_covers_its_scatter_over_samples() -> None:
    found = [
        kernel_distance(features(100, 6, 2 * s) / 4, features(100, 6, 2 * s + 1, 0.5) / 4)
        for s in range(60)
    ]
    scatter = np.std([kid.mean for kid in found])
    claimed = np.median([kid.standard_error for kid in found])
    assert 0.8 * scatter < claimed < 2.5 * scatter


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(5, 60))
def test_the_bootstrap_interval_holds_the_mean(seed: int, count: int) -> None:
    values = np.random.default_rng(seed).normal(size=count)
    found = bootstrap_mean(values, np.random.default_rng(1), resamples=200, confidence=0.9)
    assert found.low <= values.mean() <= found.high


def test_a_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(200):
        values = np.random.default_rng(seed).normal(0.3, 1.0, size=60)
        generator = np.random.default_rng(seed + 1000)
        found = bootstrap_mean(values, generator, resamples=200, confidence=0.9)
        hits += found.low <= 0.3 <= found.high
    assert 0.82 < hits / 200 < 0.96


def test_ten_damages_of_one_picture_do_not_count_as_ten_pictures() -> None:
    pictures = np.random.default_rng(0).normal(size=30)
    values, clusters = np.repeat(pictures, 10), np.repeat(np.arange(30), 10)
    spread = {"resamples": 300, "confidence": 0.95}
    alone = bootstrap_mean(values, np.random.default_rng(1), **spread)  # type: ignore[arg-type]
    grouped = bootstrap_mean(
        values,
        np.random.default_rng(1),
        clusters=clusters,
        **spread,  # type: ignore[arg-type]
    )
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)
