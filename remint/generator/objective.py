"""Minting as a game: G(noise, class) against real; and the VAE that needs no opponent."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy.special import ndtri
from torch import nn

from remint.core.device import Precision, autocast
from remint.core.randomness import counter_uniform
from remint.generator.augment import LANES, AugmentName, ada, adapted, diffaugment
from remint.generator.data import LabelledBatch, LabelledSource, labelled_batches
from remint.generator.networks.generators import ConditionalVae
from remint.training.losses import GAMES, GameName, accuracy, gradient_penalty
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
    discriminator sees; augment_probability: ADA's p at the start.
    """

    game: GameName
    gamma: float | None
    gamma_end: float
    penalty: Literal["exact", "approximate"]
    penalty_every: int
    augment: AugmentName
    augment_probability: float

    def __post_init__(self) -> None:
        if min(self.gamma or 0, self.gamma_end) < 0 or self.penalty_every < 1:
            raise ValueError(
                f"loss: found gamma {self.gamma}, gamma_end {self.gamma_end}, penalty_every "
                f"{self.penalty_every}; needed 0 or more, 0 or more and 1 or more"
            )
        if not 0 <= self.augment_probability <= 0.85:
            raise ValueError(
                f"loss.augment_probability: found {self.augment_probability}, needed 0 to 0.85: "
                "above it augmentations leak into the generated images"
            )


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


def sigma_vae_loss(
    output: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, log_variance: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return reconstruction and divergence of the VAE whose noise is the best one for the batch.

    D/2 log(mean squared error) and KL(N(mean, variance) || N(0, 1)), nats an image (sigma-VAE,
    arXiv 2006.13202, equations 4 and 7; VAE, arXiv 1312.6114, appendix B).
    """
    error = (output - target).square().mean()
    reconstruction = 0.5 * target[0].numel() * torch.log(error + 1e-8)
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
    return reconstruction, divergence


class Minting:
    """The objective put to the loop by the generator."""

    def __init__(
        self,
        source: LabelledSource,
        config: MintLossConfig,
        *,
        latent: int,
        seed: int,
        device: torch.device,
        precision: Precision,
        failure: Callable[[], str | None] = lambda: None,
    ) -> None:
        """failure: says what is wrong with the generator, before a checkpoint is kept as good."""
        self.source, self.config, self.latent, self.seed = source, config, latent, seed
        self.device, self.precision, self._failure = device, precision, failure
        self.game = GAMES[config.game]
        first = config.gamma
        self.gamma = default_gamma(source.size, source.config.batch) if first is None else first
        self.probability = config.augment_probability
        self.background = _background(source).to(device)

    def batches(self, first: int) -> Iterator[LabelledBatch]:
        """Yield this process's batches on the device, from image `first` on."""
        self.round = first // self.source.config.batch
        for batch in labelled_batches(self.source, first):
            yield batch.to(self.device)
            self.round += 1

    def _draws(self, name: str, counters: torch.Tensor, lanes: int) -> np.ndarray:
        return counter_uniform(self.seed, name, counters.numpy(), lanes)

    def latents(self, name: str, counters: torch.Tensor) -> torch.Tensor:
        """Return float32 [N, latent] from N(0, 1): a row for each counter."""
        uniform = self._draws(f"latent-{name}", counters, self.latent)
        return torch.from_numpy(ndtri(uniform + 2.0**-54)).float().to(self.device)

    def _seen(self, images: torch.Tensor, name: str, counters: torch.Tensor) -> torch.Tensor:
        """Return what the discriminator sees of N,C,S,S images."""
        if self.config.augment == "none":
            return images
        uniform = self._draws(f"augment-{name}", counters, LANES)
        draws = torch.from_numpy(uniform).float().to(self.device)
        if self.config.augment == "diffaugment":
            return diffaugment(images, draws, self.background)
        return ada(images, draws, self.probability, self.background)

    def _logits(
        self,
        discriminator: nn.Module,
        images: torch.Tensor,
        labels: torch.Tensor,
        name: str,
        counters: torch.Tensor,
    ) -> torch.Tensor:
        return discriminator(self._seen(images, name, counters), labels).float()

    def discriminator_losses(self, players: Players, chunk: LabelledBatch, share: float) -> Losses:
        """Return the game's loss and, on every penalty round, gamma / 2 (R1 + R2)."""
        assert players.discriminator
        discriminator, labels, counters = (
            players.discriminator.network,
            chunk.labels,
            chunk.counters,
        )
        with torch.no_grad(), autocast(self.device, self.precision):
            fake_images = players.generator.network(self.latents("d", counters), labels).float()
        due = self.gamma > 0 and self.round % self.config.penalty_every == 0
        exact = due and self.config.penalty == "exact"
        real_images = chunk.real.requires_grad_(exact)
        fake_images.requires_grad_(exact)
        with autocast(self.device, "fp32" if due else self.precision):  # penalties in fp32
            real = self._logits(discriminator, real_images, labels, "real", counters)
            fake = self._logits(discriminator, fake_images, labels, "fake", counters)
        losses: Losses = {"total": self.game.discriminator_loss(real, fake)}
        right = accuracy(real.detach(), fake.detach(), self.config.game)
        losses["discriminator_accuracy"] = torch.tensor(right, device=self.device)
        losses["real_sign"] = real.detach().sign().mean()
        if due:
            sides = ((real_images, real, "real"), (fake_images, fake, "fake"))
            terms = [
                self._penalty(discriminator, images, logits, name, labels, counters)
                for images, logits, name in sides
            ]
            gamma = cosine(self.gamma, self.config.gamma_end * self.gamma, share)
            weight = 0.5 * gamma * self.config.penalty_every
            losses["total"] = losses["total"] + weight * torch.stack(terms).sum()
        self._adapt(float(losses["real_sign"]), len(counters))
        return losses

    def _penalty(
        self,
        discriminator: nn.Module,
        images: torch.Tensor,
        logits: torch.Tensor,
        name: str,
        labels: torch.Tensor,
        counters: torch.Tensor,
    ) -> torch.Tensor:
        if self.config.penalty == "exact":
            return gradient_penalty(logits, images)
        uniform = self._draws(f"nudge-{name}", counters, images[0].numel())
        nudge = torch.from_numpy(ndtri(uniform + 2.0**-54)).float().view(images.shape)
        nudged = images + STEP * nudge.to(self.device)
        return approximate_penalty(
            logits, self._logits(discriminator, nudged, labels, name, counters)
        )

    def _adapt(self, real_sign: float, images: int) -> None:
        if self.config.augment == "ada":
            self.probability = adapted(self.probability, real_sign, images)

    def generator_losses(self, players: Players, chunk: LabelledBatch, share: float) -> Losses:
        """Return the game's other side, or the VAE's loss."""
        network, labels = players.generator.network, chunk.generator_labels
        if isinstance(network, ConditionalVae):
            return self._vae_losses(network, chunk)
        assert players.discriminator
        discriminator = players.discriminator.network
        with autocast(self.device, self.precision):
            images = network(self.latents("g", chunk.counters), labels)
            fake = self._logits(discriminator, images, labels, "g-fake", chunk.counters)
            with torch.no_grad():
                real = self._logits(
                    discriminator, chunk.generator_real, labels, "g-real", chunk.counters
                )
        return {"total": self.game.generator_loss(real, fake)}

    def _vae_losses(self, network: ConditionalVae, chunk: LabelledBatch) -> Losses:
        mean, log_variance = network.encode(chunk.generator_real, chunk.generator_labels)
        noise = self.latents("g", chunk.counters)
        output = network(mean + torch.exp(0.5 * log_variance) * noise, chunk.generator_labels)
        terms = sigma_vae_loss(output, chunk.generator_real, mean, log_variance)
        reconstruction, divergence = terms
        pixels = chunk.real[0].numel()
        return {
            "total": (reconstruction + divergence) / pixels,
            "reconstruction_loss": reconstruction,
            "divergence_loss": divergence,
        }

    def failure(self, players: Players) -> str | None:
        """Ask whoever looks deeper."""
        return self._failure()

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
