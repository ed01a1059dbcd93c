"""What is watched during training, and when a run counts as diverged.

errors:
    Diverged   the game has been rolled back as often as allowed and diverged again
"""

import math
from dataclasses import dataclass, field


class Diverged(ValueError):
    """Training could not be kept stable; the sentence says what was seen and what to change."""


@dataclass(frozen=True)
class HealthConfig:
    """Limits; beyond one of them the run goes back to its last good checkpoint.

    loss_limit: running generator loss over its best so far; gradient_limit: generator's gradient
    norm before clipping; drift_limit: mean colour of outputs minus that of targets, of the range
    0..1; accuracy_limit: the discriminator's running accuracy (1: never). Each roll-back
    multiplies the rates by rate_factor; after `rollbacks` of them the run stops.
    """

    loss_limit: float
    gradient_limit: float
    drift_limit: float
    accuracy_limit: float
    rollbacks: int
    rate_factor: float

    def __post_init__(self) -> None:
        if not 0 < self.rate_factor < 1:
            raise ValueError(f"health.rate_factor: found {self.rate_factor}, needed 0 to 1")
        if self.rollbacks < 0:
            raise ValueError(f"health.rollbacks: found {self.rollbacks}, needed 0 or more")


@dataclass
class HealthMonitor:
    """Running means of what is watched, over about the last `memory` rounds."""

    config: HealthConfig
    memory: int = 100
    means: dict[str, float] = field(default_factory=dict)
    best: float = math.inf
    rounds: int = 0

    def check(self, values: dict[str, float]) -> str | None:
        """Take one round's figures in; return what is wrong in words, or None.

        values: any of loss_for_health, gradient_norm, colour_drift, discriminator_accuracy; all
        of them must be finite.
        """
        for name, value in values.items():
            if not math.isfinite(value):
                return f"{name} became {value}"
        self.rounds += 1
        weight = max(1.0 / self.rounds, 1.0 / self.memory)
        for name, value in values.items():
            old = self.means.get(name, value)
            self.means[name] = old + weight * (value - old)
        return self._over_limit() if self.rounds >= self.memory else None

    def _over_limit(self) -> str | None:
        limits = self.config
        loss = self.means.get("loss_for_health", 0.0)
        self.best = min(self.best, loss)
        checks = {
            "the generator's loss": (loss, limits.loss_limit * self.best),
            "the gradient norm": (self.means.get("gradient_norm", 0.0), limits.gradient_limit),
            "the colour drift": (abs(self.means.get("colour_drift", 0.0)), limits.drift_limit),
            "the discriminator's accuracy": (
                self.means.get("discriminator_accuracy", 0.0),
                limits.accuracy_limit,
            ),
        }
        for what, (value, limit) in checks.items():
            if value > limit:
                return f"{what} rose to {value:.4g}, over its limit of {limit:.4g}"
        return None

    def state(self) -> dict[str, object]:
        """Return what a checkpoint keeps."""
        best = None if math.isinf(self.best) else self.best
        return {"means": dict(self.means), "best": best, "rounds": self.rounds}

    def load(self, state: dict) -> None:
        """Take back what `state` gave."""
        self.means = dict(state["means"])
        self.best = math.inf if state["best"] is None else state["best"]
        self.rounds = state["rounds"]


def give_up_sentence(failure: str, images: int, rollbacks: int) -> str:
    """Return the sentence with which a diverged run ends."""
    return (
        f"training diverged at image {images:,}: {failure}; the run had already gone back to its "
        f"last good checkpoint {rollbacks} time(s) at lowered rates. The last good checkpoint is "
        "kept; lower the rate or the adversarial weight, or raise gamma, and start again"
    )
