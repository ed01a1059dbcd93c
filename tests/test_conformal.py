"""Claims about conformal risk control."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remint.metrics.conformal import controlled, least_cases

GRID = np.linspace(0, 1, 201)


def losses(thresholds: np.ndarray) -> np.ndarray:
    """Return the share of a case's thresholds that lie above each bound of GRID."""
    return (thresholds[:, :, None] > GRID).mean(axis=1)


def test_the_bound_is_the_first_whose_mean_with_one_lost_case_is_small_enough() -> None:
    falling = np.tile([0.5, 0.2, 0.1, 0.05, 0.0], (19, 1))
    # (19 L + 1) / 20: 0.525, 0.24, 0.145, 0.0975, 0.05
    assert controlled(falling, 0.1) == 3
    assert controlled(falling, 0.25) == 1
    assert controlled(falling, 0.04) is None


@pytest.mark.parametrize(("alpha", "needed"), [(0.1, 9), (0.05, 19), (0.3, 3), (0.5, 1)])
def test_fewer_cases_than_one_by_alpha_less_one_allow_no_bound(alpha: float, needed: int) -> None:
    assert least_cases(alpha) == needed
    assert controlled(np.zeros((needed, 3)), alpha) == 0
    if needed > 1:
        assert controlled(np.zeros((needed - 1, 3)), alpha) is None


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.2, 0.4]), st.floats(0.3, 3.0))
def test_the_risk_of_a_new_case_holds_on_exchangeable_draws(
    seed: int, alpha: float, shape: float
) -> None:
    rng = np.random.default_rng(seed)
    risks = []
    for _ in range(400):
        difficulty = rng.beta(shape, 2, (21, 1))  # of a case: its thresholds are not independent
        table = losses(difficulty * rng.random((21, 16)))
        bound = controlled(table[:20], alpha)
        assert bound is not None
        risks.append(table[20, bound])
    assert np.mean(risks) <= alpha + 4 * np.std(risks) / 20


def test_pixels_taken_for_cases_would_promise_too_much() -> None:
    rng = np.random.default_rng(0)
    risks = []
    for _ in range(2000):
        table = losses(rng.random((11, 1)) * np.ones((1, 20)))
        bound = controlled(np.repeat(table[:10], 20, axis=0), 0.15)
        assert bound is not None
        risks.append(table[10, bound])
    assert np.mean(risks) > 0.15


@pytest.mark.parametrize("wrong", [[[0.1, 0.2]], [[1.5, 0.0]], [[0.5, -0.1]]])
def test_what_is_no_falling_loss_is_refused(wrong: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="do not rise as the bound grows"):
        controlled(np.array(wrong), 0.1)
