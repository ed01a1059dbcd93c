"""What evaluate_synthetic is told by its section of params.yaml."""

from dataclasses import dataclass
from typing import Literal

MINIMUM_SEEDS = 5
Fraction = int | Literal["all"]


@dataclass(frozen=True)
class UtilityClassifierConfig:
    """The small classifier that every arm trains: same steps, same batch, same width."""

    steps: int
    batch: int
    rate: float
    width: int

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "rate", "width"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, found {getattr(self, name)}")


@dataclass(frozen=True)
class UtilityConfig:
    """How usefulness is judged; smallest_gain in percentage points, fixed before looking."""

    seeds: int
    fractions: tuple[Fraction, ...]
    synthetic_share: float
    primary: Literal["plain", "classical"]
    smallest_gain: float
    confidence: float
    duplicate_rms: float
    classifier: UtilityClassifierConfig

    def __post_init__(self) -> None:
        if self.seeds < MINIMUM_SEEDS:
            raise ValueError(
                f"seeds must be at least {MINIMUM_SEEDS} for a paired interval, found {self.seeds}"
            )
        counts = [fraction for fraction in self.fractions if fraction != "all"]
        if not self.fractions or any(count < 1 for count in counts):
            raise ValueError("fractions must name at least one count a class from 1, or all")
        if len(set(self.fractions)) < len(self.fractions):
            raise ValueError(f"fractions must differ, found {list(self.fractions)}")
        if not 0 < self.synthetic_share < 1:
            raise ValueError(f"synthetic_share must lie in 0..1, found {self.synthetic_share}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie in 0..1, found {self.confidence}")
        if min(self.smallest_gain, self.duplicate_rms) < 0:
            raise ValueError("smallest_gain and duplicate_rms must not be below 0")


@dataclass(frozen=True)
class CopyConfig:
    """How copies are looked for; shift is a share of the side, noise in levels of 0..255,
    turn in degrees (noise, turn and half the shift are planted, the whole shift is tried out)."""

    features: Literal["auto", "classifier", "efflite0"]
    images: int
    false_alarms: float
    shift: float
    noise: float
    turn: float
    planted: int
    pairs: int
    cache: str

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms < 0.5:
            raise ValueError(f"false_alarms must lie in 0..0.5, found {self.false_alarms}")
        if not 0 <= self.shift < 0.5:
            raise ValueError(f"shift must lie in 0..0.5 of the side, found {self.shift}")
        if min(self.noise, self.turn, self.images, self.pairs) < 0:
            raise ValueError("noise, turn, images and pairs must not be below 0")
        if self.planted < 1:
            raise ValueError(f"planted must be at least 1, found {self.planted}")


@dataclass(frozen=True)
class EvaluateSyntheticConfig:
    """The whole section; workers: processes that fit classifiers, 0 for one a core."""

    seed: int
    device: Literal["auto", "cpu", "cuda"]
    workers: int
    utility: UtilityConfig
    copies: CopyConfig

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"workers must not be below 0, found {self.workers}")
