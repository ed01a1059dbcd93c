"""Claims about distances of sets: equal to torch-fidelity's, and meaning what they say."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from remint.generator_evaluation.scoring import set_figures
from remint.metrics.frechet import frechet_distance_of_features
from remint.metrics.kernel import squared_mmd


def features(count: int, seed: int, dimensions: int = 48, shift: float = 0.0) -> np.ndarray:
    mixing = np.random.default_rng(99).normal(size=(dimensions, dimensions)) / dimensions**0.5
    values = np.random.default_rng(seed).normal(size=(count, dimensions)) @ mixing
    return np.maximum(values + shift, 0.0).astype(np.float32)


@pytest.mark.parametrize(("count", "dimensions"), [(600, 48), (80, 200)])
def test_frechet_distance_agrees_with_torch_fidelity_to_six_digits(
    count: int, dimensions: int
) -> None:
    real, fake = features(count, 1, dimensions), 1.1 * features(count, 2, dimensions, 0.1)
    both = [fid_features_to_statistics(torch.from_numpy(x).double()) for x in (fake, real)]
    theirs = fid_statistics_to_metric(*both, verbose=False)["frechet_inception_distance"]
    assert frechet_distance_of_features(real, fake) == pytest.approx(theirs, rel=1e-6)


def test_kid_agrees_with_torch_fidelity_to_six_digits() -> None:
    real, fake = features(300, 1), features(300, 2, shift=0.1)
    theirs = kid_features_to_metric(
        torch.from_numpy(fake).double(),
        torch.from_numpy(real).double(),
        kid_subsets=1,
        kid_subset_size=300,
        verbose=False,
    )["kernel_inception_distance_mean"]
    assert squared_mmd(real, fake) == pytest.approx(theirs, rel=1e-6)


def figures(fake: np.ndarray) -> dict[str, float]:
    return set_figures(features(1000, 1), fake, None)


def test_a_fresh_sample_scores_like_its_floor() -> None:
    found = set_figures(features(1000, 1), features(1000, 2), features(1000, 3))
    assert abs(found["kid"]) < 4 * found["kid_se"]
    for name in ("fd", "precision", "recall", "density", "coverage"):
        assert found[name] == pytest.approx(found[f"{name}_floor"], rel=0.1)


def test_a_tight_cluster_is_far_although_precise() -> None:
    fresh, tight = figures(features(1000, 2)), figures(features(10, 2)[np.arange(1000) % 10])
    assert tight["fd"] > 3 * fresh["fd"] and tight["kid"] > 10 * abs(fresh["kid"])
    assert tight["recall"] < 0.1 and tight["coverage"] < 0.1 and tight["precision"] > 0.5


def test_a_dropped_mode_raises_both_distances() -> None:
    real = np.concatenate([features(500, 1), features(500, 2, shift=1.0)])
    whole = np.concatenate([features(500, 3), features(500, 4, shift=1.0)])
    half = features(1000, 5)
    complete, dropped = set_figures(real, whole, None), set_figures(real, half, None)
    assert dropped["kid"] > 20 * abs(complete["kid"]) and dropped["fd"] > 3 * complete["fd"]
    assert dropped["coverage"] < 0.6 < complete["coverage"]


def test_the_more_noise_the_farther() -> None:
    noise = np.random.default_rng(7).normal(size=(1000, 48)).astype(np.float32)
    found = [figures(features(1000, 2) + level * noise) for level in (0.0, 0.3, 1.0)]
    for name in ("kid", "fd"):
        assert found[0][name] < found[1][name] < found[2][name]


@pytest.mark.parametrize(
    ("count", "names"),
    [
        (199, set()),
        (200, {"kid", "kid_se"}),
        (500, {"kid", "kid_se", "precision", "recall", "density", "coverage"}),
        (1000, {"kid", "kid_se", "precision", "recall", "density", "coverage", "fd"}),
    ],
)
def test_a_figure_below_its_minimum_of_images_is_absent(count: int, names: set[str]) -> None:
    assert set(set_figures(features(count, 1), features(count, 2), None)) == names
