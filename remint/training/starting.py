"""Starting from a trained model: its name in the parameters, and which of its tensors fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

NONE = "none"
ABSENT = "none.txt"  # in place of a model that was fetched when there was none yet
NAMED = 8  # tensors that a sentence names


@dataclass(frozen=True)
class StartConfig:
    """Which model training starts from.

    model: the name of its folder in data/start, none for fresh weights; strict: a model is refused
    unless all its tensors fit; else what fits is taken and the rest is fresh.
    """

    model: str
    strict: bool

    def __post_init__(self) -> None:
        if not self.model.strip("./ "):
            raise ValueError(f"model is {self.model!r}; name a folder in data/start, or {NONE}")

    def check_given(self, fingerprint: str | None) -> None:
        """Raise ValueError unless a model was given just where one is named."""
        if (fingerprint is None) != (self.model == NONE):
            given = "none was given" if fingerprint is None else f"{fingerprint} was given"
            raise ValueError(
                f"start.model is {self.model} and {given}; name the model's folder in both "
                f"the parameters and the command, or {NONE} in the parameters"
            )


State = Mapping[str, torch.Tensor]


def compared(theirs: State, ours: State) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Return the tensors of `theirs` that fit into `ours`, and a phrase for each that does not."""
    names = {**ours, **theirs}
    shapes = {name: (_shape(theirs, name), _shape(ours, name)) for name in names}
    unfit = [f"{name} ({a} there, {b} here)" for name, (a, b) in shapes.items() if a != b]
    return {name: theirs[name] for name, (a, b) in shapes.items() if a == b}, unfit


def _shape(state: State, name: str) -> str:
    return " x ".join(map(str, state[name].shape)) if name in state else "absent"


def told(differing: Sequence[str], unfit: Sequence[str]) -> str:
    """Return what keeps a model from being taken over: settings that differ, and tensors."""
    more = f" and {len(unfit) - NAMED} more" if len(unfit) > NAMED else ""
    settings = [f"network.{setting}" for setting in differing]
    tensors = f"{len(unfit)} tensors do not fit: {', '.join(unfit[:NAMED])}{more}"
    return "; ".join([*settings, *([tensors] if unfit else [])])
