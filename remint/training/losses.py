"""The adversarial games: what discriminator and generator each minimise, and the penalties.

`real` and `fake` are logits of equal shape [N, ...]; every loss is a mean and lower is better.
V = E[log D(x)] + E[log(1 - D(G(z)))] is what D maximises and G minimises; with D = sigmoid(logit),
-log D = softplus(-logit) and -log(1 - D) = softplus(logit).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

GameName = Literal["minimax", "non_saturating", "hinge", "relativistic"]


def bce_discriminator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """-V: binary cross-entropy (GAN, arXiv 1406.2661, equation 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def minimax_generator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """E[log(1 - D(G))], which G minimises (arXiv 1406.2661, equation 1)."""
    return -F.softplus(fake).mean()


def non_saturating_generator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """-E[log D(G)] (arXiv 1406.2661, section 3)."""
    return F.softplus(-fake).mean()


def hinge_discriminator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """E[relu(1 - D(x))] + E[relu(1 + D(G))] (arXiv 1802.05957, equation 16)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """-E[D(G)] (arXiv 1802.05957, equation 17)."""
    return -fake.mean()


def relativistic_discriminator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """E[softplus(-(D(x) - D(G)))], real and fake paired (R3GAN, arXiv 2501.05441, equation 2)."""
    return F.softplus(fake - real).mean()


def relativistic_generator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """E[softplus(-(D(G) - D(x)))] (arXiv 2501.05441, equation 2, G's side)."""
    return F.softplus(real - fake).mean()


Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Game:
    """The two losses of one game."""

    discriminator_loss: Loss
    generator_loss: Loss


GAMES: dict[GameName, Game] = {
    "minimax": Game(bce_discriminator_loss, minimax_generator_loss),
    "non_saturating": Game(bce_discriminator_loss, non_saturating_generator_loss),
    "hinge": Game(hinge_discriminator_loss, hinge_generator_loss),
    "relativistic": Game(relativistic_discriminator_loss, relativistic_generator_loss),
}


def gradient_penalty(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """E[|grad_x D(x)|^2], summed over C,H,W, mean over the batch (arXiv 1801.04406, eq. 9).

    R1 on reals, R2 on fakes; gamma / 2 is the caller's. images must require grad; fp32.
    """
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return slope.square().sum(dim=(1, 2, 3)).mean()


def differentiable_twice(network: nn.Module) -> AbstractContextManager[None]:
    """Return the context in which a forward pass may be followed by `gradient_penalty`.

    A compiled graph has no second derivative, so a compiled network runs eagerly in it.
    """
    if network._compiled_call_impl is None:
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def accuracy(real: torch.Tensor, fake: torch.Tensor, game: GameName) -> torch.Tensor:
    """Return the share of decisions the discriminator gets right, scalar 0..1 (chance: 0.5)."""
    if game == "relativistic":
        return (real > fake).float().mean()
    return 0.5 * ((real > 0).float().mean() + (fake < 0).float().mean())
