"""Optimisers: AdamW for everything, or Muon for the matrices inside and AdamW for the rest."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le, Lt
from torch import nn

from remint.core.ranges import Rate
from remint.training.schedule import cosine

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)  # of the fifth-order step (K. Jordan et al., Muon, 2024)
NEWTON_SCHULZ_STEPS = 5
SMALLEST_NORM = 1e-7
# Momenta of weights without a gradient, as those of a unit that answers to nothing, decay to
# denormal numbers, which CPUs multiply over ten times as slowly: below these they are 0
LEAST_MOMENTUM, LEAST_SHARE = 1e-30, 1e-10  # the latter of a matrix's norm
Beta = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW (arXiv 1711.05101): the rate falls from `rate` to `rate_end` along a cosine.

    The second beta moves from betas[1] to beta2_end on the same cosine (R3GAN, arXiv 2501.05441).
    muon: rate of Muon, for convolutions but the first and the last (null: AdamW for all); it falls
    in proportion. weight_decay: of both. warm_up: share of the budget in which rates rise from 0.
    """

    rate: Rate
    rate_end: Annotated[float, Ge(0), Le(10)]
    betas: tuple[Beta, Beta]
    beta2_end: Beta
    weight_decay: Annotated[float, Ge(0), Le(10)]
    muon: Rate | None
    warm_up: Annotated[float, Ge(0), Lt(1)]


class Muon(torch.optim.Optimizer):
    """Muon over convolution weights, each seen as a matrix that shares its memory.

    Update: Nesterov momentum, made orthogonal by Newton-Schulz, times 0.2 sqrt(longer side), so
    that AdamW's rates carry over (arXiv 2502.16982, equation 4). Matrices of one shape go through
    it at once, which torch's own Muon does one by one.
    """

    def __init__(self, weights: list[nn.Parameter], rate: float, weight_decay: float) -> None:
        matrices = [nn.Parameter(as_matrix(weight.detach())) for weight in weights]
        super().__init__(matrices, {"lr": rate, "weight_decay": weight_decay})
        self.matrices = dict(zip(weights, matrices, strict=True))  # state is kept under the matrix
        self.by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for weight, matrix in self.matrices.items():
            self.by_shape[matrix.shape].append(weight)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step with the gradients of the weights."""
        rate, decay = (self.param_groups[0][name] for name in ("lr", "weight_decay"))
        for (rows, columns), weights in self.by_shape.items():
            matrices: list[torch.Tensor] = [self.matrices[weight] for weight in weights]
            gradients = [self._gradient(weight) for weight in weights]
            momenta = [self._momentum(matrix) for matrix in matrices]
            torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
            for momentum in momenta:
                momentum.copy_(F.hardshrink(momentum, LEAST_MOMENTUM))
            ahead = torch._foreach_lerp(gradients, momenta, MOMENTUM)
            updates = orthogonal(torch.stack(ahead)) * (0.2 * math.sqrt(max(rows, columns)))
            torch._foreach_mul_(matrices, 1 - rate * decay)
            torch._foreach_add_(matrices, updates.unbind(), alpha=-rate)

    def _gradient(self, weight: nn.Parameter) -> torch.Tensor:
        assert weight.grad is not None
        return as_matrix(weight.grad).to(self.matrices[weight].dtype)

    def _momentum(self, matrix: torch.Tensor) -> torch.Tensor:
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        return state["momentum_buffer"]


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Return float [B, R, C] with the singular vectors of `matrices` and values near 1.

    Newton-Schulz as in arXiv 2502.16982, equation 2: X <- Z X with Z = a + b S + c S^2, S = X X^T.
    Every Z is a polynomial of the first S, so they commute, S <- Z S Z needs no X, and the product
    of all Z meets X once.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=SMALLEST_NORM)
    x = F.hardshrink(x, LEAST_SHARE)
    a, b, c = NEWTON_SCHULZ
    unit = a * torch.eye(x.shape[1], device=x.device, dtype=x.dtype)
    s = x @ x.mT
    product = z = torch.baddbmm(s, s, s, beta=b, alpha=c) + unit
    for _ in range(NEWTON_SCHULZ_STEPS - 1):
        s = z @ s @ z
        z = torch.baddbmm(s, s, s, beta=b, alpha=c) + unit
        product = z @ product
    x = product @ x
    return x.mT if tall else x


def as_matrix(weight: torch.Tensor) -> torch.Tensor:
    """Return [O, I, k, k] as [O, I k k], without a copy; columns follow the memory's order."""
    if weight.is_contiguous(memory_format=torch.channels_last):
        return weight.permute(0, 2, 3, 1).flatten(1)
    return weight.flatten(1)


def hidden_convolutions(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights of dense convolutions but the first and the last one."""
    inside = [weight for weight in network.parameters() if weight.ndim == 4][1:-1]
    # neither depthwise nor frozen, nor a scale of each channel or any other that is one row
    return [weight for weight in inside if min(weight.shape[:2]) > 1 and weight.requires_grad]


class Optimisers:
    """What moves one network: its parameters shared out between AdamW and Muon."""

    def __init__(self, network: nn.Module, config: OptimiserConfig) -> None:
        self.network, self.config = network, config
        hidden = hidden_convolutions(network) if config.muon else []
        self.muon = (
            Muon(hidden, config.muon, config.weight_decay) if config.muon and hidden else None
        )
        ids = {id(weight) for weight in hidden}
        self.adamw = torch.optim.AdamW(
            [parameter for parameter in network.parameters() if id(parameter) not in ids],
            lr=config.rate,
            betas=config.betas,
            eps=1e-8,
            weight_decay=config.weight_decay,
            fused=True,  # one kernel for all parameters
        )

    def schedule(self, share: float, scale: float) -> None:
        """Set this round's rates and beta2; share: spent part of the budget; scale: roll-backs'."""
        config = self.config
        rising = min(1.0, share / config.warm_up) if config.warm_up else 1.0
        rate = scale * rising * cosine(config.rate, config.rate_end, share)
        beta2 = cosine(config.betas[1], config.beta2_end, share)
        self.adamw.param_groups[0] |= {"lr": rate, "betas": (config.betas[0], beta2)}
        if self.muon:
            self.muon.param_groups[0]["lr"] = rate * (config.muon or 0.0) / config.rate

    def zero_grad(self) -> None:
        """Drop all gradients."""
        self.network.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Take a step with the gradients of the network's parameters."""
        self.adamw.step()
        if self.muon:
            self.muon.step()

    def _slots(self) -> Iterator[tuple[torch.optim.Optimizer, nn.Parameter]]:
        """Yield for every parameter of the network the optimiser and the key of its state."""
        matrices = self.muon.matrices if self.muon else {}
        for parameter in self.network.parameters():
            if self.muon and parameter in matrices:
                yield self.muon, matrices[parameter]
            else:
                yield self.adamw, parameter

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield every tensor of the states as `INDEX OF THE PARAMETER.NAME`."""
        for index, (optimiser, key) in enumerate(self._slots()):
            for name, value in optimiser.state.get(key, {}).items():
                yield f"{index}.{name}", value

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take back what `tensors` gave; memory formats are those of the live parameters."""
        for index, (optimiser, key) in enumerate(self._slots()):
            start = f"{index}."
            kept = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
            optimiser.state.pop(key, None)
            if kept:
                optimiser.state[key] = {
                    name: value.to(key.device, copy=True)
                    if name == "step"
                    else torch.empty_like(key).copy_(value)
                    for name, value in kept.items()
                }
