"""Composition: several kinds, one after the other, each with its own chance and range."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from remint.core.ranges import Share
from remint.corruptions.drawing import Recipe, Shape, uniform
from remint.corruptions.registry import KINDS, draw

Severity = Annotated[float, Ge(1), Le(5)]


@dataclass(frozen=True)
class Step:
    """One kind of a composition.

    severity: lowest and highest, within 1..5; drawn evenly, also between the tables' columns.
    probability: the chance that an image gets this step.
    """

    kind: str
    severity: tuple[Severity, Severity]
    probability: Share

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"No kind of damage is called {self.kind!r}; choose from {', '.join(KINDS)}."
            )
        if self.severity[0] > self.severity[1]:
            raise ValueError(
                f"The severities {list(self.severity)} of {self.kind} are no range: the lower one "
                "comes first."
            )


def draw_step(shape: Shape, step: Step, generator: np.random.Generator) -> Recipe:
    """Draw a severity from the step's range and a recipe of its kind, whatever its probability."""
    return draw(shape, step.kind, uniform(generator, *step.severity), generator)


def compose(shape: Shape, steps: Sequence[Step], generator: np.random.Generator) -> Recipe:
    """Draw the recipe of the steps that chance picks, in the order given; it may be empty.

    shape: (height, width, channels) of the whole image.
    """
    recipe: Recipe = []
    for step in steps:
        if generator.random() < step.probability:
            recipe += draw_step(shape, step, generator)
    return recipe


def one_of(shape: Shape, steps: Sequence[Step], generator: np.random.Generator) -> Recipe:
    """Draw the recipe of exactly one of the steps, chosen in proportion to probability.

    Raises ValueError if no step has a probability above 0.
    """
    ends = np.cumsum([step.probability for step in steps])
    if not len(ends) or ends[-1] <= 0:
        raise ValueError("No step has a probability above 0, so none can be chosen; raise one.")
    chosen = int(np.searchsorted(ends[:-1], generator.random() * ends[-1], side="right"))
    return draw_step(shape, steps[chosen], generator)
