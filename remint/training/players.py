"""The two networks of a game, their optimisers and the averaged generator."""

import copy
from collections.abc import Iterator

import torch
from torch import nn

from remint.training.distributed import average_gradients
from remint.training.optimisers import OptimiserConfig, Optimisers


class Player:
    """A network with its optimiser; parameters that need no gradient at the start stay."""

    def __init__(self, network: nn.Module, config: OptimiserConfig) -> None:
        self.network = network
        self.trained = [weight for weight in network.parameters() if weight.requires_grad]
        self.optimiser = Optimisers(network, config)

    def learns(self, now: bool) -> None:
        """Let gradients reach the parameters that are trained, or none."""
        for weight in self.trained:
            weight.requires_grad_(now)

    def clip_gradients(self, limit: float | None) -> torch.Tensor:
        """Average gradients over processes, clip them to the norm, return the norm before."""
        average_gradients(self.network.parameters())
        return nn.utils.clip_grad_norm_(self.network.parameters(), limit or float("inf"))

    def tensors(self, name: str) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield every tensor of network and optimiser under a stable name."""
        for key, value in self.network.state_dict().items():
            yield f"{name}.{key}", value
        for key, value in self.optimiser.tensors():
            yield f"{name}_optimiser.{key}", value

    def load(self, name: str, tensors: dict[str, torch.Tensor]) -> None:
        """Take back what `tensors` gave; memory formats stay those of the live parameters."""
        load_network(self.network, name, tensors)
        self.optimiser.load(named(f"{name}_optimiser.", tensors))


def named(start: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin so, under the rest of their names."""
    return {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}


def load_network(network: nn.Module, name: str, tensors: dict[str, torch.Tensor]) -> None:
    """Load the tensors called `name.*` into the network, all of them or none (RuntimeError)."""
    network.load_state_dict(named(f"{name}.", tensors))


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
        self.generator.optimiser.schedule(share, scale)
        if self.discriminator:
            self.discriminator.optimiser.schedule(share, scale)

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
        state = dict(self.generator.tensors("generator"))
        state |= {f"average.{k}": t for k, t in self.average.state_dict().items()}
        if self.discriminator:
            state |= dict(self.discriminator.tensors("discriminator"))
        return state

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take back what `tensors` gave."""
        self.generator.load("generator", tensors)
        load_network(self.average, "average", tensors)
        if self.discriminator:
            self.discriminator.load("discriminator", tensors)
