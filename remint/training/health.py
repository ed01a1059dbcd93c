"""What is watched during training, and when a run counts as diverged.

errors:
    Diverged   the game has been rolled back as often as allowed and diverged again
"""

import math
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from annotated_types import Ge, Gt, Le

from remint.core.ranges import InnerShare, Limit


class Watched(NamedTuple):
    """A figure under a limit, and what sentences call it."""

    figure: str
    words: str


WATCHED = {
    "loss_limit": Watched("fidelity_loss", "the generator's loss"),
    "gradient_limit": Watched("generator_gradient_norm", "the gradient norm"),
    "drift_limit": Watched("colour_drift", "the colour drift"),
    "accuracy_limit": Watched("discriminator_accuracy", "the discriminator's accuracy"),
}
BY_THE_LOOP = frozenset({"generator_gradient_norm"})  # whatever the objective


class Diverged(ValueError):
    """Training could not be kept stable; the sentence says what was seen and what to change."""


@dataclass(frozen=True)
class HealthConfig:
    """Limits (null: none); beyond one of them the run goes back to its last good checkpoint.

    loss_limit: running fidelity loss over its best so far; gradient_limit: generator's gradient
    norm before clipping; drift_limit: mean colour of outputs minus that of real images, of the
    range 0..1; accuracy_limit: the discriminator's running accuracy. Each roll-back multiplies
    the rates by rate_factor; after `rollbacks` of them the run stops.
    """

    loss_limit: Annotated[float, Gt(1), Le(10**9)] | None
    gradient_limit: Limit | None
    drift_limit: InnerShare | None
    accuracy_limit: InnerShare | None
    rollbacks: Annotated[int, Ge(0), Le(1000)]
    rate_factor: InnerShare

    def limits(self) -> dict[str, float]:
        """Return the limits that are set, by name."""
        given = {name: getattr(self, name) for name in WATCHED}
        return {name: limit for name, limit in given.items() if limit is not None}

    def refuse_unwatched(self, emitted: Set[str]) -> None:
        """Raise ValueError for a limit on a figure that is not among those emitted."""
        for name, limit in self.limits().items():
            figure, words = WATCHED[name]
            if figure not in emitted | BY_THE_LOOP:
                raise ValueError(
                    f"loop.health.{name}: found {limit:g}, and {words} ({figure}) is no figure of "
                    "this training, so the limit would never act; set it to null"
                )


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

        values: those in WATCHED are held against their limits; all must be finite.
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
        self.best = min(self.best, self.means.get("fidelity_loss", math.inf))
        for name, limit in self.config.limits().items():
            figure, words = WATCHED[name]
            value = abs(self.means.get(figure, 0.0))
            limit *= self.best if name == "loss_limit" else 1.0
            if value > limit:
                return f"{words} rose to {value:.4g}, over its limit of {limit:.4g}"
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
