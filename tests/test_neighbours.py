"""Claims about precision, recall, density and coverage."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.metric_prc import prc_features_to_metric

from remint.metrics import nearest, neighbours
from remint.metrics.nearest import nearest_rows, nearest_squares
from remint.metrics.neighbours import NeighbourScores, neighbour_scores


def cloud(count: int, seed: int, dimensions: int = 16, shift: float = 0.0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(count, dimensions)) + shift
    return values.astype(np.float32)


def squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ((x[:, None].astype(np.float64) - y[None]) ** 2).sum(axis=2)


def by_definition(real: np.ndarray, fake: np.ndarray, k: int, wide: int) -> NeighbourScores:
    """Return the figures as the papers define them; a sorted row begins with the image itself."""
    within, between = np.sort(squares(real, real), axis=1), squares(real, fake)
    fakes = np.sort(squares(fake, fake), axis=1)[:, k]
    return NeighbourScores(
        float((between <= within[:, [k]]).any(axis=0).mean()),
        float((between <= fakes).any(axis=1).mean()),
        float((between <= within[:, [wide]]).sum() / (wide * len(fake))),
        float((between <= within[:, [wide]]).any(axis=1).mean()),
    )


@pytest.mark.parametrize(("reals", "fakes"), [(300, 300), (150, 260), (31, 40)])
def test_figures_are_those_of_the_definitions(
    reals: int, fakes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "STRIP", 64)
    real, fake = cloud(reals, 1), 0.9 * cloud(fakes, 2, shift=0.2)
    assert neighbour_scores(real, fake) == by_definition(real, fake, 3, 5)
    assert neighbour_scores(real, fake, precision_k=1, coverage_k=2) == by_definition(
        real, fake, 1, 2
    )


@pytest.mark.parametrize("dimensions", [8, 200])
def test_precision_and_recall_agree_with_torch_fidelity(dimensions: int) -> None:
    real, fake = cloud(500, 3, dimensions), 0.9 * cloud(500, 4, dimensions)
    theirs = prc_features_to_metric(
        torch.from_numpy(fake), torch.from_numpy(real), prc_neighborhood=3, verbose=False
    )
    ours = neighbour_scores(real, fake)
    assert ours.precision == pytest.approx(theirs["precision"], abs=1e-6)
    assert ours.recall == pytest.approx(theirs["recall"], abs=1e-6)


def test_features_far_from_zero_lose_nothing_to_rounding() -> None:
    real, fake = cloud(200, 5, shift=1000.0), cloud(200, 6, shift=1000.0)
    assert neighbour_scores(real, fake) == by_definition(real, fake, 3, 5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(1, 4))
def test_figures_on_a_grid_full_of_ties_are_exact(seed: int, levels: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    real, fake = generator.integers(0, levels, (2, 40, 3)).astype(np.float32)
    ours = neighbour_scores(real, fake, precision_k=k, coverage_k=k)
    assert ours == by_definition(real, fake, k, k)


def test_a_second_sample_of_the_same_kind_scores_high_everywhere() -> None:
    scores = neighbour_scores(cloud(600, 1, 4), cloud(600, 2, 4))
    assert min(scores.precision, scores.recall, scores.coverage) > 0.9
    assert scores.density == pytest.approx(1.0, abs=0.1)


def test_a_tight_cluster_is_precise_and_recalls_little() -> None:
    scores = neighbour_scores(cloud(600, 1, 4), 0.05 * cloud(600, 2, 4))
    assert scores.precision > 0.95 and scores.recall < 0.05 and scores.coverage < 0.1


def test_a_dropped_mode_costs_recall_and_coverage_its_share_and_no_precision() -> None:
    modes = [cloud(200, seed, 4, shift) for seed, shift in enumerate((0.0, 30.0, 60.0))]
    kept = [cloud(300, 10 + seed, 4, shift) for seed, shift in enumerate((0.0, 30.0))]
    scores = neighbour_scores(np.concatenate(modes), np.concatenate(kept))
    assert scores.precision > 0.9
    assert 0.6 < scores.recall < 0.67 and 0.6 < scores.coverage < 0.67


def test_added_noise_lowers_every_figure() -> None:
    real = cloud(500, 1, 32)
    found = [neighbour_scores(real, cloud(500, 2, 32) + noise * cloud(500, 3, 32)) for noise in
             (0.0, 0.7, 3.0)]  # fmt: skip
    for name in ("precision", "density", "coverage"):
        values = [getattr(scores, name) for scores in found]
        assert values[0] > values[1] > values[2]
    assert found[2].precision == 0.0


def test_the_nearest_others_never_include_the_row_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "CELLS", 3200)
    features = np.concatenate([cloud(50, 1), cloud(50, 1)])  # every row has a twin
    squared, rows = nearest_squares(features, features, 2, np.arange(100))
    assert np.array_equal(rows[:, 0], (np.arange(100) + 50) % 100)
    assert (squared[:, 0] == 0.0).all() and (squared[:, 1] > 0.0).all()


def test_where_no_other_row_is_left_the_distance_is_infinite() -> None:
    alone = nearest_rows(cloud(3, 1), cloud(1, 2), 2, np.array([0, -1, 0]))
    assert np.isinf(alone.nearest).tolist() == [True, False, True]
    assert alone.ratio.tolist() == [1.0] * 3


def test_too_few_images_for_a_neighbour_are_refused() -> None:
    with pytest.raises(ValueError, match="Neighbour 5 needs"):
        neighbour_scores(cloud(5, 1), cloud(50, 2))
