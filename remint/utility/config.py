"""What evaluate_synthetic is told by its section of params.yaml."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from remint.classifier.averaged import AveragedConfig, CurveConfig
from remint.core.ranges import Images, InnerShare, Seed, Steps, Workers

MINIMUM_SEEDS = 5
Fraction = Images | Literal["all"]


@dataclass(frozen=True)
class UtilityClassifierConfig(AveragedConfig, CurveConfig):
    """The small classifier that every arm trains, and how its number of steps is found."""


@dataclass(frozen=True)
class UtilityConfig:
    """How usefulness is judged; smallest_gain in percentage points, fixed before looking."""

    seeds: Annotated[int, Ge(MINIMUM_SEEDS), Le(1000)]
    fractions: tuple[Fraction, ...]
    synthetic_share: InnerShare
    primary: Literal["plain", "classical"]
    smallest_gain: Annotated[float, Ge(0), Le(100)]
    confidence: InnerShare
    duplicate_rms: Annotated[float, Ge(0), Le(255)]
    classifier: UtilityClassifierConfig

    def __post_init__(self) -> None:
        if not self.fractions:
            raise ValueError("fractions must name at least one count a class, or all")
        if len(set(self.fractions)) < len(self.fractions):
            raise ValueError(f"fractions must differ, found {list(self.fractions)}")


@dataclass(frozen=True)
class CopyConfig:
    """How copies are looked for; shift is a share of the side, noise in levels of 0..255,
    turn in degrees (noise, turn and half the shift are planted, the whole shift is tried out);
    steps: of the classifier whose features are looked at."""

    features: Literal["auto", "classifier", "efflite0"]
    steps: Steps
    images: Annotated[int, Ge(0), Le(10**8)]
    false_alarms: Annotated[float, Gt(0), Lt(0.5)]
    shift: Annotated[float, Ge(0), Lt(0.5)]
    noise: Annotated[float, Ge(0), Le(255)]
    turn: Annotated[float, Ge(0), Le(180)]
    planted: Annotated[int, Ge(1), Le(10**6)]
    pairs: Annotated[int, Ge(0), Le(1000)]
    cache: str


@dataclass(frozen=True)
class EvaluateSyntheticConfig:
    """The whole section; workers: processes that fit classifiers, 0 for one a core."""

    seed: Seed
    device: Literal["auto", "cpu", "cuda"]
    workers: Workers
    utility: UtilityConfig
    copies: CopyConfig
