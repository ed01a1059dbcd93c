"""Claims about budgets, schedules, health and the average."""

import math

import pytest

from remint.training.health import HealthConfig, HealthMonitor
from remint.training.schedule import Budget, cosine, ema_weight

LIMITS = HealthConfig(3.0, 100.0, 0.1, 0.95, 1, 0.5)


def watch_of(rounds: int, **values: float) -> str | None:
    monitor = HealthMonitor(LIMITS, memory=10)
    calm = dict.fromkeys(values, 0.5) | {"fidelity_loss": 1.0, "colour_drift": 0.0}
    for _ in range(20):
        assert monitor.check(calm) is None
    return [monitor.check({**calm, **values}) for _ in range(rounds)][-1]


def test_a_budget_ends_by_what_runs_out_first() -> None:
    assert Budget(100, None).share(50, 999) == 0.5
    assert Budget(100, 10).share(10, 5) == 0.5


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needed at least one"):
        Budget(None, None)


def test_the_cosine_starts_flat_and_ends_at_its_end() -> None:
    assert (cosine(2.0, 1.0, 0.0), cosine(2.0, 1.0, 0.5), cosine(2.0, 1.0, 1.0)) == (2.0, 1.5, 1.0)
    assert 2.0 - cosine(2.0, 1.0, 0.01) < 0.001


def test_the_average_halves_an_image_s_weight_each_half_life() -> None:
    weights = [ema_weight(10, 1000, 10**9) for _ in range(100)]
    assert math.isclose(math.prod(weights), 0.5, rel_tol=1e-9)


def test_the_first_average_forgets_fast() -> None:
    assert ema_weight(10, 1000, 10) < 1e-6 and ema_weight(10, 1000, 0) == 0.0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("fidelity_loss", 50.0, "loss rose"),
        ("generator_gradient_norm", 1e4, "gradient norm"),
        ("colour_drift", -0.5, "colour drift"),
        ("discriminator_accuracy", 1.0, "accuracy"),
    ],
)
def test_health_names_what_left_its_limits(name: str, value: float, words: str) -> None:
    assert words in (watch_of(40, **{name: value}) or "")


def test_a_limit_of_null_never_acts() -> None:
    monitor = HealthMonitor(HealthConfig(None, None, None, None, 1, 0.5), memory=1)
    wild = {"fidelity_loss": 1.0, "generator_gradient_norm": 1e9, "colour_drift": 0.9}
    assert monitor.check(wild) is None is monitor.check({**wild, "fidelity_loss": 1e6})


def test_a_limit_on_what_is_never_emitted_is_refused_with_a_sentence() -> None:
    LIMITS.refuse_unwatched({"fidelity_loss", "colour_drift", "discriminator_accuracy"})
    with pytest.raises(ValueError, match=r"loop.health.loss_limit: found 3.*set it to null"):
        LIMITS.refuse_unwatched({"colour_drift", "discriminator_accuracy"})


def test_one_bad_round_is_no_divergence_unless_it_is_not_finite() -> None:
    assert watch_of(1, fidelity_loss=5.0) is None
    assert "became nan" in (watch_of(1, discriminator_loss=math.nan) or "")


def test_a_watch_survives_a_checkpoint() -> None:
    monitor, copy = HealthMonitor(LIMITS), HealthMonitor(LIMITS)
    for _ in range(150):
        monitor.check({"fidelity_loss": 2.0})
    copy.load(monitor.state())
    assert copy == monitor
