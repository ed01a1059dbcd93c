"""The corrupt section of params.yaml: what is measured on, and what training draws."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from remint.core.engines import check_engine
from remint.core.ranges import Images, Seed, Share, Workers
from remint.corruptions.composition import Step
from remint.corruptions.registry import KINDS


@dataclass(frozen=True)
class EvaluateConfig:
    """What is stored to measure by.

    kinds x severities: a slice each, in val and test; clean: also a slice left whole; unseen:
    kinds of the test split alone, which training must not draw. val_per_slice, test_per_slice:
    images a slice, the same ones in all slices, None for every image of the split. Real pairs are
    a slice of their own, all of them; beside them kinds may be empty.
    """

    kinds: tuple[str, ...]
    severities: tuple[Annotated[int, Ge(1), Le(5)], ...]
    clean: bool
    unseen: tuple[str, ...]
    val_per_slice: Images | None
    test_per_slice: Images | None

    def __post_init__(self) -> None:
        for kind in (*self.kinds, *self.unseen):
            if kind not in KINDS:
                raise ValueError(
                    f"evaluate names {kind!r}, which is no kind of damage; choose from "
                    f"{', '.join(KINDS)}."
                )
        if len({*self.kinds, *self.unseen}) < len(self.kinds) + len(self.unseen):
            raise ValueError("evaluate names a kind twice in kinds and unseen; name it once.")
        if len(set(self.severities)) < len(self.severities):
            raise ValueError(
                f"evaluate.severities is {list(self.severities)}; give each number once."
            )

    def per_slice(self, split: str) -> int | None:
        """Return how many images of "val" or "test" a slice has, None for all."""
        return self.val_per_slice if split == "val" else self.test_per_slice

    def slices(self, split: str) -> list[tuple[str, int]]:
        """Return the (kind, severity) of all slices of "val" or "test"."""
        kinds = self.kinds + (self.unseen if split == "test" else ())
        whole = [("clean", 0)] if self.clean else []
        return whole + [(kind, severity) for kind in kinds for severity in self.severities]


@dataclass(frozen=True)
class TrainingConfig:
    """What training draws.

    draws: damaged versions stored of each image, 0 to draw anew each time it is seen. Of all
    draws, clean_share stay whole, single_share get one step alone, chosen in proportion to its
    probability, and the rest get every step that its probability picks, in the order given. Without
    steps, which a set of real pairs alone may lack, training sees those only.
    """

    draws: Annotated[int, Ge(0), Le(1000)]
    clean_share: Share
    single_share: Share
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if self.clean_share + self.single_share > 1:
            raise ValueError(
                f"training.clean_share and single_share are {self.clean_share} and "
                f"{self.single_share}; give shares that sum to 1 at most."
            )
        if self.steps and not any(step.probability > 0 for step in self.steps):
            raise ValueError("Every step of training.steps has probability 0; raise one.")


@dataclass(frozen=True)
class CorruptConfig:
    """The corrupt section of params.yaml.

    workers: processes, 0 for one a core; engine: see `engines.check_engine`.
    """

    seed: Seed
    workers: Workers
    engine: str
    evaluate: EvaluateConfig
    training: TrainingConfig

    def __post_init__(self) -> None:
        check_engine(self.engine)
        drawn = {step.kind for step in self.training.steps if step.probability > 0}
        leaked = sorted(drawn & set(self.evaluate.unseen))
        if leaked:
            raise ValueError(
                f"evaluate.unseen names {', '.join(leaked)}, which training.steps draw; take them "
                "out of one of the two."
            )
        untrained = [kind for kind in self.evaluate.kinds if kind not in drawn]
        if untrained:
            raise ValueError(
                f"evaluate.kinds names {', '.join(untrained)}, which no step of training.steps "
                "draws; add a step, move them to evaluate.unseen, or empty evaluate.kinds to "
                "measure on real pairs alone."
            )
