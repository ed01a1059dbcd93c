"""Starting a generator from a trained one, its classes matched by name; FreezeD."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import nn

from remint.generator.generator import Minter
from remint.generator.networks.catalogue import FLOWS, GeneratorConfig
from remint.generator.networks.flow import FlowGenerator, JumpDiscriminator
from remint.training.checkpoint import differences, network_settings
from remint.training.starting import NONE, StartConfig, compared, told

SAMPLING: dict[str, Any] = {"steps": 1, "guidance": 1.0, "solver": "heun"}  # stops no start

UNLABELLED = [""]  # the one class of a set without labels


@dataclass(frozen=True)
class GeneratorStartConfig(StartConfig):
    """Which generator training starts from.

    Classes are matched by name; one that the start does not know begins as the mean of its classes.
    freeze: levels of the discriminator, from the image on, that stay as they are (FreezeD,
    arXiv 2002.10964: few images move what sees textures least).
    """

    freeze: Annotated[int, Ge(0), Le(8)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.freeze and self.model == NONE:
            raise ValueError(
                f"freeze is {self.freeze} and model is {NONE}: fresh weights that stay as they are "
                "tell nothing; name a model, or set freeze to 0"
            )


@dataclass(frozen=True)
class Begun:
    """The networks to be trained: the generator and, of a game, the discriminator."""

    config: GeneratorConfig
    class_names: Sequence[str]
    generator: nn.Module
    discriminator: nn.Module | None


def take_over(begun: Begun, start: Minter, *, strict: bool) -> dict[str, Any]:
    """Give the networks the weights of `start`; return what the card says of it.

    Raises ValueError, with the differences, where the networks are of another kind, where nothing
    fits, and if `strict` where anything but the classes does not.
    """
    unfit: list[str] = []
    kinds = start.card["network"]["name"], begun.config.name
    if kinds[0] != kinds[1] and not set(kinds) <= FLOWS.keys():
        raise ValueError(_refusal(start, begun, unfit))
    old, new = start.class_names or UNLABELLED, list(begun.class_names) or UNLABELLED
    if begun.config.name == "vae" and old != new:
        raise ValueError(
            f"start: a VAE reads classes by their numbers, so its start needs the same ones; found "
            f"{', '.join(old)}, needed {', '.join(new)}; train conv, r3 or flow"
        )
    pairs = [(begun.generator, start.network), (begun.discriminator, start.discriminator)]
    states = [
        (ours, *compared(by_class(theirs, old, new), ours.state_dict()))
        for ours, theirs in pairs
        if ours is not None and theirs is not None
    ]
    unfit = [phrase for _, _, phrases in states for phrase in phrases]
    if not all(fitting for _, fitting, _ in states) or (strict and unfit):
        raise ValueError(_refusal(start, begun, unfit))
    for ours, fitting, _ in states:
        ours.load_state_dict(fitting, strict=False)
    if kinds == ("flow", "adversarial_flow"):
        begin_game(begun.generator, begun.discriminator, begun.generator)
    fresh = [name for name in new if name not in old]
    return {"fingerprint": start.fingerprint, "not_taken": unfit, "new_classes": fresh}


def begin_game(generator: nn.Module, discriminator: nn.Module | None, before: nn.Module) -> None:
    """Give both sides of an adversarial flow the weights of a flow."""
    assert isinstance(before, FlowGenerator) and isinstance(discriminator, JumpDiscriminator)
    generator.load_state_dict(before.state_dict())
    discriminator.begin_from(before)


def by_class(network: nn.Module, old: Sequence[str], new: Sequence[str]) -> dict[str, torch.Tensor]:
    """Return a network's state with the rows of its class embeddings those of the classes `new`.

    A class that is not in `old` gets the mean row of all that are. Rows behind those of the
    classes (flow's: no class) stay behind them.
    """
    state = dict(network.state_dict())
    for name, module in network.named_modules():
        if isinstance(module, nn.Embedding):
            rows, rest = module.weight[: len(old)], module.weight[len(old) :]
            known = dict(zip(old, rows, strict=True))
            wanted = [known.get(name, rows.mean(dim=0)) for name in new]
            state[f"{name}.weight"] = torch.cat([torch.stack(wanted), rest])
    return state


def freeze(discriminator: nn.Module | None, count: int) -> None:
    """Keep the first levels of a discriminator as they are; ValueError where it has not so many."""
    if not count:
        return
    levels: list[nn.Module] = discriminator.levels() if discriminator else []  # type: ignore[operator]
    if count >= max(1, len(levels)):
        most = f"at most {len(levels) - 1}" if levels else "0: it has no discriminator"
        raise ValueError(f"start.freeze: found {count}, and this network can keep {most}")
    for level in levels[:count]:
        level.requires_grad_(False)


def _refusal(start: Minter, begun: Begun, unfit: Sequence[str]) -> str:
    both = GeneratorConfig(**start.card["network"]), begun.config
    then, now = (network_settings(replace(network, **SAMPLING)) for network in both)
    settings = differences(then, now)
    return (
        f"start: the model {start.fingerprint} ({start.channels} channels, {start.size} px) is not "
        f"the network that is trained: {told(settings, unfit)}. Give train_generator.network its "
        "values and ingest.size and ingest.colour its images, choose another model, or set "
        "start.strict: false to take what fits"
    )
