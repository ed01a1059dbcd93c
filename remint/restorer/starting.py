"""Starting a restorer from a trained one: its averaged weights, under fresh optimisers."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from remint.restorer.networks.catalogue import NetworkConfig
from remint.restorer.restorer import Restorer
from remint.training.checkpoint import differences

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


def take_over(
    network: nn.Module, start: Restorer, config: NetworkConfig, *, strict: bool
) -> list[str]:
    """Load the tensors of `start` that fit into `network`; return a phrase for each that does not.

    config: of `network`. Raises ValueError, with the differences, where the networks are of
    another kind, where nothing fits, and if `strict` where anything does not.
    """
    theirs, ours = start.network.state_dict(), network.state_dict()
    shapes = {name: (_shape(theirs, name), _shape(ours, name)) for name in {**ours, **theirs}}
    unfit = [f"{name} ({a} there, {b} here)" for name, (a, b) in shapes.items() if a != b]
    another_kind = start.card["network"]["name"] != config.name
    if another_kind or len(unfit) == len(shapes) or (strict and unfit):
        raise ValueError(_refusal(start, config, unfit))
    fitting = {name: theirs[name] for name, (a, b) in shapes.items() if a == b}
    network.load_state_dict(fitting, strict=False)
    return unfit


def _shape(state: dict[str, Any], name: str) -> str:
    return " x ".join(map(str, state[name].shape)) if name in state else "absent"


def _refusal(start: Restorer, config: NetworkConfig, unfit: list[str]) -> str:
    settings = differences(start.card["network"], json.loads(json.dumps(asdict(config))))
    more = f" and {len(unfit) - NAMED} more" if len(unfit) > NAMED else ""
    told = [f"network.{setting}" for setting in settings]
    told += [f"{len(unfit)} tensors do not fit: {', '.join(unfit[:NAMED])}{more}"] if unfit else []
    return (
        f"start: the model {start.fingerprint} ({start.channels} channels) is not the network that "
        f"is trained: {'; '.join(told)}. Give train_restorer.network its values and ingest.colour "
        "its channels, choose another model, or set start.strict: false to take what fits"
    )
