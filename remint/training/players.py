"""The two networks of a game, their optimisers and the averaged generator."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le, Lt
from torch import nn

from remint.core.ranges import Rate
from remint.training.distributed import average_gradients
from remint.training.schedule import cosine

Beta = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW (arXiv 1711.05101): the rate falls from `rate` to `rate_end` along a cosine.

    The second beta moves from betas[1] to beta2_end on the same cosine (R3GAN, arXiv 2501.05441).
    """

    rate: Rate
    rate_end: Annotated[float, Ge(0), Le(10)]
    betas: tuple[Beta, Beta]
    beta2_end: Beta
    weight_decay: Annotated[float, Ge(0), Le(10)]


class Player:
    """A network with its optimiser."""

    def __init__(self, network: nn.Module, config: OptimiserConfig) -> None:
        self.network = network
        self.config = config
        self.fused = next(network.parameters()).is_cuda  # one kernel for all parameters
        self.optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=config.rate,
            betas=config.betas,
            eps=1e-8,
            weight_decay=config.weight_decay,
            fused=self.fused,
        )

    def schedule(self, share: float, scale: float) -> None:
        """Set this round's rate and beta2; share: spent part of the budget; scale: roll-backs'."""
        config = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = scale * cosine(config.rate, config.rate_end, share)
            group["betas"] = (config.betas[0], cosine(config.betas[1], config.beta2_end, share))

    def clip_gradients(self, limit: float | None) -> torch.Tensor:
        """Average gradients over processes, clip them to the norm, return the norm before."""
        average_gradients(self.network.parameters())
        return nn.utils.clip_grad_norm_(self.network.parameters(), limit or float("inf"))

    def tensors(self, name: str) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield every tensor of network and optimiser under a stable name."""
        for key, value in self.network.state_dict().items():
            yield f"{name}.{key}", value
        for index, parameter in enumerate(self.network.parameters()):
            for key, value in self.optimiser.state.get(parameter, {}).items():
                yield f"{name}_optimiser.{index}.{key}", value

    def load(self, name: str, tensors: dict[str, torch.Tensor]) -> None:
        """Take back what `tensors` gave; memory formats stay those of the live parameters."""
        load_network(self.network, name, tensors)
        self.optimiser.state.clear()
        for index, parameter in enumerate(self.network.parameters()):
            prefix = f"{name}_optimiser.{index}."
            state = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
            if state:
                self.optimiser.state[parameter] = {
                    key: self._step(value, parameter)
                    if key == "step"
                    else torch.empty_like(parameter).copy_(value)
                    for key, value in state.items()
                }

    def _step(self, count: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
        """Return a copy where the optimiser wants its count: fused beside the parameter."""
        return count.to(parameter.device if self.fused else "cpu", copy=True)


def load_network(network: nn.Module, name: str, tensors: dict[str, torch.Tensor]) -> None:
    """Load the tensors called `name.*` into the network, all of them or none (RuntimeError)."""
    prefix = f"{name}."
    state = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
    network.load_state_dict(state)


class Players:
    """Generator, its moving average, and the discriminator (None: plain regression)."""

    def __init__(self, generator: Player, discriminator: Player | None) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.average = copy.deepcopy(generator.network).requires_grad_(False).eval()

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.average.parameters()).device

    def schedule(self, share: float, scale: float) -> None:
        """Set this round's rates on both sides."""
        self.generator.schedule(share, scale)
        if self.discriminator:
            self.discriminator.schedule(share, scale)

    @torch.no_grad()
    def update_average(self, weight: float) -> None:
        """average = weight * average + (1 - weight) * generator; buffers are copied."""
        network = self.generator.network
        means, news = tuple(self.average.parameters()), tuple(network.parameters())
        torch._foreach_lerp_(means, news, 1.0 - weight)  # few kernels on a GPU
        for kept, buffer in zip(self.average.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return every tensor of the game by name."""
        named = dict(self.generator.tensors("generator"))
        named |= {f"average.{k}": t for k, t in self.average.state_dict().items()}
        if self.discriminator:
            named |= dict(self.discriminator.tensors("discriminator"))
        return named

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take back what `tensors` gave."""
        self.generator.load("generator", tensors)
        load_network(self.average, "average", tensors)
        if self.discriminator:
            self.discriminator.load("discriminator", tensors)
