"""Restoration as a game: G(damaged) against clean; loss = pixel + perceptual + adversarial."""

from collections.abc import Callable, Iterator, Set
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import nn

from remint.core.device import Precision, autocast
from remint.core.ranges import Weight
from remint.metrics.pixels import WHOLE_CEILING
from remint.restorer.data import PairSource
from remint.restorer.networks.padding import run_padded
from remint.restorer.perceptual import PerceptualName, build_perceptual, feature_matching_loss
from remint.restorer.rounds import PairBatch, batches
from remint.training.losses import (
    GAMES,
    GameName,
    accuracy,
    differentiable_twice,
    gradient_penalty,
)
from remint.training.objective import Losses
from remint.training.players import Players

PixelLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class RestorationLossConfig:
    """The generator's loss and the game (two stages as in Real-ESRGAN, arXiv 2107.10833, 4.1).

    pixel_weight null: the pixel loss's own, of PIXEL_LOSSES. adversarial_weight 0 leaves a plain
    regressor. gamma / 2 weighs R1 and R2, which are taken every penalty_every rounds and multiplied
    by it (lazy, arXiv 1912.04958, section 3.1).
    """

    pixel: Literal["l1", "charbonnier", "l2", "decibels"]
    pixel_weight: Weight | None
    perceptual: PerceptualName
    perceptual_weight: Weight
    adversarial_weight: Weight
    game: GameName
    gamma: Weight
    penalty_every: Annotated[int, Ge(1), Le(10**6)]

    def __post_init__(self) -> None:
        if self.perceptual == "features" and self.perceptual_weight and not self.adversarial_weight:
            raise ValueError(
                "loss.perceptual: features come from the discriminator and adversarial_weight is "
                "0; set perceptual_weight to 0, or choose efflite"
            )


def charbonnier_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """mean sqrt((output - target)^2 + eps^2), eps = 0.001 (Charbonnier 1994; arXiv 1710.01992)."""
    return torch.sqrt((output - target).square() + 1e-6).mean()


def decibel_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """mean over images of 10 log10(1 + MSE / floor), dB (PSNR as a loss: NAFNet, arXiv 2204.04676).

    An image counts by the ratio of its error, so that mild damage teaches as much as strong. floor
    is the MSE of values in -1..1 at WHOLE_CEILING dB: below it, nothing is left to be won.
    """
    floor = 4.0 * 10.0 ** (-WHOLE_CEILING / 10.0)
    errors = (output - target).square().mean(dim=(1, 2, 3))
    return 10.0 * torch.log10(1.0 + errors / floor).mean()


# with the weights by which the other terms' weights are meant: decibels are large numbers
PIXEL_LOSSES: dict[str, tuple[PixelLoss, float]] = {
    "l1": (F.l1_loss, 1.0),
    "charbonnier": (charbonnier_loss, 1.0),
    "l2": (F.mse_loss, 1.0),
    "decibels": (decibel_loss, 0.01),
}


def pixel_term(
    config: RestorationLossConfig, output: torch.Tensor, clean: torch.Tensor
) -> torch.Tensor:
    """Return pixel_weight * pixel, by the loss's own weight where none is given."""
    loss, own = PIXEL_LOSSES[config.pixel]
    return (own if config.pixel_weight is None else config.pixel_weight) * loss(output, clean)


class Restoration:
    """The objective put to the loop by the restorer.

    conditional: the discriminator sees the damaged image beside the other.
    """

    def __init__(
        self,
        source: PairSource,
        config: RestorationLossConfig,
        *,
        conditional: bool,
        multiple: int,
        device: torch.device,
        precision: Precision,
    ) -> None:
        self.source, self.config, self.conditional = source, config, conditional
        self.multiple, self.device, self.precision = multiple, device, precision
        self.game = GAMES[config.game]
        self.perceptual = build_perceptual(config.perceptual) if config.perceptual_weight else None
        if self.perceptual:
            self.perceptual.to(device)

    def batches(self, first: int) -> Iterator[PairBatch]:
        """Yield this process's batches on the device, from image `first` on."""
        for batch in batches(self.source, first):
            yield batch.to(self.device)

    @property
    def emits(self) -> Set[str]:
        """Fidelity and drift, and the discriminator's accuracy where there is a discriminator."""
        game = {"discriminator_accuracy"} if self.config.adversarial_weight else set()
        return game | {"fidelity_loss", "colour_drift"}

    def after_round(self, values: dict[str, float], images: int) -> None:
        """Nothing adapts."""

    def failure(self, players: Players) -> str | None:
        """Nothing beyond what is watched every round."""
        return None

    def state(self) -> dict[str, Any]:
        """Nothing to remember: every draw follows from the count of images."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Take back nothing."""

    def restore(self, network: nn.Module, damaged: torch.Tensor) -> torch.Tensor:
        """Return network(damaged), float32, any H and W."""
        with autocast(self.device, self.precision):
            return run_padded(network, damaged, self.multiple).float()

    def _logits(self, players: Players, image: torch.Tensor, damaged: torch.Tensor) -> list:
        assert players.discriminator
        seen = torch.cat([image, damaged], dim=1) if self.conditional else image
        return [feature.float() for feature in players.discriminator.network(seen)]

    def discriminator_losses(self, players: Players, chunk: PairBatch, share: float) -> Losses:
        """Return the game's loss and, on every penalty round, gamma / 2 (R1 + R2)."""
        assert players.discriminator
        with torch.no_grad():
            output = self.restore(players.generator.network, chunk.damaged)
        due = self.config.gamma > 0 and chunk.round % self.config.penalty_every == 0
        clean, output = chunk.clean.requires_grad_(due), output.requires_grad_(due)
        twice = differentiable_twice(players.discriminator.network) if due else nullcontext()
        precision = "fp32" if due else self.precision  # penalties in fp32
        with twice, autocast(self.device, precision):
            real = self._logits(players, clean, chunk.damaged)[-1]
            fake = self._logits(players, output, chunk.damaged)[-1]
        losses: Losses = {"total": self.game.discriminator_loss(real, fake)}
        right = accuracy(real.detach(), fake.detach(), self.config.game)
        losses["discriminator_accuracy"] = right
        if due:
            penalty = gradient_penalty(real, clean) + gradient_penalty(fake, output)
            weight = 0.5 * self.config.gamma * self.config.penalty_every
            losses["total"] = losses["total"] + weight * penalty
        return losses

    def generator_losses(self, players: Players, chunk: PairBatch, share: float) -> Losses:
        """Return pixel_weight * pixel + perceptual_weight * perceptual + weight * adversarial.

        fidelity_loss is the Charbonnier distance whichever is minimised, so that runs compare.
        """
        config, clean = self.config, chunk.clean.detach()
        output = self.restore(players.generator.network, chunk.damaged)
        losses: Losses = {
            "total": pixel_term(config, output, clean),
            "fidelity_loss": charbonnier_loss(output.detach(), clean),
        }
        losses["colour_drift"] = 0.5 * (output - clean).detach().mean()
        if players.discriminator:
            with autocast(self.device, self.precision):
                fake = self._logits(players, output, chunk.damaged)
                real = self._logits(players, clean, chunk.damaged)
            losses["adversarial_loss"] = self.game.generator_loss(real[-1], fake[-1])
            term = config.adversarial_weight * losses["adversarial_loss"]
            losses["total"] = losses["total"] + term
        if config.perceptual_weight:
            losses["perceptual_loss"] = (
                self.perceptual(output, clean)
                if self.perceptual
                else feature_matching_loss(real, fake)
            )
            losses["total"] = losses["total"] + config.perceptual_weight * losses["perceptual_loss"]
        return losses
