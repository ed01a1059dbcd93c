"""Minting as a game: G(noise, class) against real images."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import nn

from remint.core.device import autocast
from remint.core.ranges import Weight
from remint.generator.augment import LANES, AugmentName, ada, adapted, diffaugment
from remint.generator.data import LabelledBatch, LabelledSource
from remint.generator.objectives.base import MintingObjective, MintingSetup, colour_drift
from remint.training.losses import (
    GAMES,
    GameName,
    accuracy,
    differentiable_twice,
    gradient_penalty,
)
from remint.training.objective import Losses
from remint.training.players import Players
from remint.training.schedule import cosine

STEP = 0.01  # of the approximate penalty, in units of [-1, 1]


@dataclass(frozen=True)
class MintLossConfig:
    """The game and its regularisers.

    gamma: null takes `default_gamma`; gamma_end: part of it that is left at the end of the cosine
    (a tenth in R3GAN; small sets need more). penalty: exact (R1 and R2 by double backward) or
    approximate (by a small step); penalty_every: rounds, lazy. augment: of what the
    discriminator sees; augment_probability: ADA's p at the start, 0.85 at most:
    above it augmentations leak into the generated images.
    """

    game: GameName
    gamma: Weight | None
    gamma_end: Weight
    penalty: Literal["exact", "approximate"]
    penalty_every: Annotated[int, Ge(1), Le(10**6)]
    augment: AugmentName
    augment_probability: Annotated[float, Ge(0), Le(0.85)]


def default_gamma(size: int, batch: int) -> float:
    """Return the first gamma: 0.3 at 28 px and a batch of 64, times pixels, over batch.

    The value at 28 px is measured; growth with the number of pixels as R3GAN's presets
    (arXiv 2501.05441, table 7) and division by the batch as arXiv 2006.06676, appendix C.
    """
    return 0.3 * (size / 28) ** 2 * 64 / batch


def approximate_penalty(logits: torch.Tensor, nudged: torch.Tensor) -> torch.Tensor:
    """E[((D(x) - D(x + STEP e)) / STEP)^2], e ~ N(0, 1): |grad D|^2 without double backward.

    Seaweed-APT (arXiv 2501.08316, section 3.4).
    """
    return ((nudged - logits) / STEP).square().mean()


LogitsOf = Callable[[torch.Tensor, str], torch.Tensor]  # images and their side's name in the draws


class GameObjective(MintingObjective):
    """A game of `losses.GAMES` with R1 and R2, and what the discriminator sees augmented."""

    emits = MintingObjective.emits | {"discriminator_accuracy", "real_sign"}

    def __init__(self, setup: MintingSetup, config: MintLossConfig) -> None:
        super().__init__(setup)
        self.config, self.game = config, GAMES[config.game]
        first, source = config.gamma, setup.source
        self.gamma = default_gamma(source.size, source.config.batch) if first is None else first
        self.probability = config.augment_probability
        self.background = _background(source).to(self.device)

    def augmented(self, images: torch.Tensor, name: str, counters: torch.Tensor) -> torch.Tensor:
        """Return what the discriminator sees of N,C,S,S images.

        In fp32 always: in bf16 a resampling grid of 256 px is a third of a pixel off.
        """
        if self.config.augment == "none":
            return images
        draws = self.moved(self.uniform(f"augment-{name}", counters, LANES))
        with autocast(self.device, "fp32"):
            if self.config.augment == "diffaugment":
                return diffaugment(images.float(), draws, self.background)
            return ada(images.float(), draws, self.probability, self.background)

    def _logits(
        self,
        discriminator: nn.Module,
        labels: torch.Tensor,
        counters: torch.Tensor,
        images: torch.Tensor,
        name: str,
    ) -> torch.Tensor:
        return discriminator(self.augmented(images, name, counters), labels).float()

    def discriminator_losses(self, players: Players, chunk: LabelledBatch, share: float) -> Losses:
        """Return the game's loss and, on every penalty round, gamma / 2 (R1 + R2)."""
        assert players.discriminator
        counters, network = chunk.counters, players.discriminator.network
        logits_of = partial(self._logits, network, chunk.labels, counters)
        with torch.no_grad(), self.autocast():
            reals, fakes = self._shown(players, chunk)
        due = self.gamma > 0 and chunk.round % self.config.penalty_every == 0
        exact = due and self.config.penalty == "exact"
        reals, fakes = reals.requires_grad_(exact), fakes.requires_grad_(exact)
        precision = "fp32" if due else self.setup.precision  # penalties in fp32
        twice = differentiable_twice(network) if exact else nullcontext()
        with twice, autocast(self.device, precision):
            real, fake = logits_of(reals, "real"), logits_of(fakes, "fake")
        losses: Losses = {
            "total": self._discriminator_loss(real, fake),
            "discriminator_accuracy": accuracy(real.detach(), fake.detach(), self.config.game),
            "real_sign": real.detach().sign().mean(),
        }
        if due:
            r1 = self._penalty(logits_of, reals, real, "real", counters)
            r2 = self._penalty(logits_of, fakes, fake, "fake", counters)
            losses["total"] = losses["total"] + self._penalty_weight(share) * (r1 + r2)
        return losses

    def _shown(self, players: Players, chunk: LabelledBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the real and the minted images of the discriminator's step."""
        fakes = players.generator.network(self.latents("d", chunk.counters), chunk.labels)
        return chunk.real, fakes.float()

    def _discriminator_loss(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        return self.game.discriminator_loss(real, fake)

    def _penalty_weight(self, share: float) -> float:
        """gamma / 2, gamma falling on a cosine, times the rounds that one penalty stands for."""
        gamma = cosine(self.gamma, self.config.gamma_end * self.gamma, share)
        return 0.5 * gamma * self.config.penalty_every

    def _penalty(
        self,
        logits_of: LogitsOf,
        images: torch.Tensor,
        logits: torch.Tensor,
        name: str,
        counters: torch.Tensor,
    ) -> torch.Tensor:
        if self.config.penalty == "exact":
            return gradient_penalty(logits, images)
        nudge = self.normal(f"nudge-{name}", counters, images[0].numel()).view(images.shape)
        return approximate_penalty(logits, logits_of(images + STEP * nudge, name))

    def generator_losses(self, players: Players, chunk: LabelledBatch, share: float) -> Losses:
        """Return the game's other side."""
        assert players.discriminator
        labels, counters = chunk.generator_labels, chunk.counters
        logits_of = partial(self._logits, players.discriminator.network, labels, counters)
        with self.autocast():
            images = players.generator.network(self.latents("g", counters), labels)
            fake = logits_of(images, "g-fake")
            with torch.no_grad():
                real = logits_of(chunk.generator_real, "g-real")
        return {
            "total": self.game.generator_loss(real, fake),
            "colour_drift": colour_drift(images, chunk.generator_real),
            **self._adapted_figures(),
        }

    def _adapted_figures(self) -> Losses:
        if self.config.augment != "ada":
            return {}
        return {"augment_probability": torch.full((), self.probability, device=self.device)}

    def after_round(self, values: dict[str, float], images: int) -> None:
        """Move ADA's p by the sign of D on the whole round's reals."""
        if self.config.augment == "ada":
            self.probability = adapted(self.probability, values["real_sign"], images)

    def state(self) -> dict[str, Any]:
        """Return ADA's p."""
        return {"probability": self.probability}

    def load(self, state: dict[str, Any]) -> None:
        """Take back ADA's p."""
        self.probability = float(state["probability"])


def _background(source: LabelledSource) -> torch.Tensor:
    """Return float [C] in [-1, 1]: the median of the border pixels of up to 256 training images.

    A fill of zero would be mid-grey, which a discriminator learns to tell on dark sets.
    """
    count = min(256, len(source))
    images = source.pixels(np.linspace(0, len(source) - 1, count).astype(int))
    border = np.concatenate(
        [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1
    )
    median = np.median(border.reshape(-1, source.channels), axis=0)
    return torch.from_numpy(median / 127.5 - 1).float()
