"""Adversarial flow: jumps from noise to image in few steps, each judged by a discriminator.

Adversarial flow models (arXiv 2511.22475), begun from a flow (arXiv 2501.08316 does likewise).
Between times t and s = t + 1 / steps the generator jumps from an image on its way, x_t = (1 - t)
noise + t image; the discriminator tells where it lands from real images at s.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from remint.core.ranges import Weight
from remint.generator.data import LabelledBatch
from remint.generator.networks.flow import JumpGenerator, with_margin
from remint.generator.objectives.base import MintingSetup, colour_drift
from remint.generator.objectives.game import GameObjective, MintLossConfig
from remint.training.objective import Losses
from remint.training.players import Players
from remint.training.schedule import cosine

CENTRE = 0.01  # weight of (D(x) + D(G))^2, which holds a relativistic game's logits near 0
DECAY = 0.9  # of the running mean square of the slope that reaches an image


@dataclass(frozen=True)
class JumpLossConfig:
    """What holds the jumps beside the game.

    transport: weight of the way's square length at the start, transport_end at the end of its
    cosine; fidelity: weight of the flow-matching loss, which keeps what the start has learned.
    """

    transport: Weight
    transport_end: Weight
    fidelity: Weight


def transport_cost(before: torch.Tensor, after: torch.Tensor, step: float) -> torch.Tensor:
    """E|G(x_t) - x_t|^2 / (s - t) (arXiv 2511.22475, its optimal-transport loss for many steps)."""
    return (after - before).square().mean() / step


def normalised(slope: torch.Tensor, mean_square: float) -> torch.Tensor:
    """Return a slope whose running root mean square is 1 over the number of its elements.

    So the game weighs as much as a mean-squared error would, however far D is (arXiv 2511.22475).
    """
    return slope / (max(mean_square, 1e-24) ** 0.5 * slope.numel())


class AdversarialFlowObjective(GameObjective):
    """A game about images on their way, and the length of the way."""

    emits = GameObjective.emits | {"transport_loss", "fidelity_loss", "slope_square"}

    def __init__(
        self, setup: MintingSetup, config: MintLossConfig, jumps: JumpLossConfig, steps: int
    ) -> None:
        super().__init__(setup, config)
        self.jumps, self.steps = jumps, steps
        self.slope_square, self.known = 0.0, 0.0  # running sum of squares, and of its weights
        self.jump = JumpGenerator.jump  # not the network's forward, which takes all the jumps
        if setup.compile:
            self.jump = torch.compile(self.jump)

    def _times(self, counters: torch.Tensor) -> torch.Tensor:
        """Return float32 [N]: when a jump begins, each of the steps equally often."""
        drawn = self.uniform("jump", counters, 1)[:, 0]
        return self.moved((drawn * self.steps).astype(int) / self.steps)

    def _on_its_way(
        self, image: torch.Tensor, times: torch.Tensor, name: str, counters: torch.Tensor
    ) -> torch.Tensor:
        """Return (1 - t) noise + t image (arXiv 2210.02747, equation 22, sigma 0)."""
        t = times[:, None, None, None]
        noise = self.latents(name, counters).view_as(image)
        return ((1 - t) * noise + t * image).to(memory_format=torch.channels_last)

    def _logits(
        self,
        discriminator: nn.Module,
        labels: torch.Tensor,
        counters: torch.Tensor,
        images: torch.Tensor,
        name: str,
    ) -> torch.Tensor:
        times = self._times(counters) + 1 / self.steps
        return discriminator(self.augmented(images, name, counters), labels, times).float()

    def _shown(self, players: Players, chunk: LabelledBatch) -> tuple[torch.Tensor, torch.Tensor]:
        network, counters = players.generator.network, chunk.counters
        assert isinstance(network, JumpGenerator)
        times, image = self._times(counters), with_margin(chunk.real)
        before = self._on_its_way(image, times, "d", counters)
        after = self.jump(network, before, times, chunk.labels)
        arrived = times + 1 / self.steps
        return self._on_its_way(image, arrived, "d-real", counters), after

    def _discriminator_loss(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        return super()._discriminator_loss(real, fake) + CENTRE * (real + fake).square().mean()

    def generator_losses(self, players: Players, chunk: LabelledBatch, share: float) -> Losses:
        """Return the game's other side by its normalised slope, the transport and the fidelity."""
        network, image = players.generator.network, with_margin(chunk.generator_real)
        assert isinstance(network, JumpGenerator)
        counters, times = chunk.counters, self._times(chunk.counters)
        before = self._on_its_way(image, times, "g", counters)
        with self.autocast():
            after = self.jump(network, before, times, chunk.generator_labels)
        game, slope = self._game(players, chunk, image, after.detach())
        pull = (after * normalised(slope, self._mean_square(slope))).sum()
        velocity = (after - before) * self.steps
        left = 1 - times[:, None, None, None]
        transport = transport_cost(before, after, 1 / self.steps)
        fidelity = F.mse_loss(velocity, (image - before) / left)
        weight = cosine(self.jumps.transport, self.jumps.transport_end, share)
        held = weight * transport + self.jumps.fidelity * fidelity
        return {
            "total": game + pull - pull.detach() + held,
            "transport_loss": transport.detach(),
            "fidelity_loss": fidelity.detach(),
            "slope_square": slope.square().mean(),
            "colour_drift": colour_drift(before + left * velocity, image),
            **self._adapted_figures(),
        }

    def _game(
        self, players: Players, chunk: LabelledBatch, image: torch.Tensor, after: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the generator's loss, and its slope at each pixel of where the jumps land."""
        assert players.discriminator
        labels, counters = chunk.generator_labels, chunk.counters
        logits_of = partial(self._logits, players.discriminator.network, labels, counters)
        arrived = self._times(counters) + 1 / self.steps
        reals = self._on_its_way(image, arrived, "g-real", counters)
        with self.autocast():
            fake = logits_of(after.requires_grad_(), "g-fake")
            with torch.no_grad():
                real = logits_of(reals, "g-real")
        loss = self.game.generator_loss(real, fake)
        (slope,) = torch.autograd.grad(loss, after)
        return loss.detach(), slope.float()

    def _mean_square(self, slope: torch.Tensor) -> float:
        """Return the running mean square; in the first round that of this slope, chunk and rank."""
        return self.slope_square / self.known if self.known else float(slope.square().mean())

    def after_round(self, values: dict[str, float], images: int) -> None:
        """Follow the slope's size as well."""
        super().after_round(values, images)
        self.slope_square = DECAY * self.slope_square + (1 - DECAY) * values["slope_square"]
        self.known = DECAY * self.known + (1 - DECAY)

    def state(self) -> dict[str, Any]:
        """Return ADA's p and the slope's running mean square."""
        return {**super().state(), "slope_square": self.slope_square, "known": self.known}

    def load(self, state: dict[str, Any]) -> None:
        """Take both back."""
        super().load(state)
        self.slope_square, self.known = float(state["slope_square"]), float(state["known"])
