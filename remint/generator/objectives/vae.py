"""The variational auto-encoder, which needs no opponent: a start, and a comparison."""

import torch
import torch.nn.functional as F

from remint.generator.data import LabelledBatch
from remint.generator.networks.generators import ConditionalVae
from remint.generator.objectives.base import MintingObjective, MintingSetup, colour_drift
from remint.training.objective import Losses
from remint.training.players import Players


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


class VaeObjective(MintingObjective):
    """Encode, draw, decode (arXiv 1312.6114, section 2.4); fidelity_loss: mean squared error."""

    emits = MintingObjective.emits | {"fidelity_loss"}

    def __init__(self, setup: MintingSetup) -> None:
        super().__init__(setup)
        self.encode = ConditionalVae.encode  # the decoder is the network's forward
        if setup.compile:
            self.encode = torch.compile(self.encode)

    def generator_losses(self, players: Players, chunk: LabelledBatch, share: float) -> Losses:
        """Return the negative evidence lower bound, in nats a pixel and channel."""
        network, real, labels = (
            players.generator.network,
            chunk.generator_real,
            chunk.generator_labels,
        )
        assert isinstance(network, ConditionalVae)
        mean, log_variance = self.encode(network, real, labels)
        noise = self.latents("g", chunk.counters)
        output = network(mean + torch.exp(0.5 * log_variance) * noise, labels)
        reconstruction, divergence = sigma_vae_loss(output, real, mean, log_variance)
        return {
            "total": (reconstruction + divergence) / real[0].numel(),
            "reconstruction_loss": reconstruction,
            "divergence_loss": divergence,
            "fidelity_loss": F.mse_loss(output.detach(), real),
            "colour_drift": colour_drift(output, real),
        }
