"""Conditional flow matching: a regression that settles where images lie, without an opponent."""

import torch
import torch.nn.functional as F

from remint.generator.data import LabelledBatch
from remint.generator.networks.flow import FlowGenerator, with_margin
from remint.generator.objectives.base import MintingObjective, MintingSetup, colour_drift
from remint.training.objective import Losses
from remint.training.players import Players

DROPPED = 0.1  # share of images shown without their label (arXiv 2207.12598, section 3.2)


def flow_matching_loss(
    velocity: torch.Tensor, image: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """E|v(x_t, t) - (x1 - x0)|^2 on straight paths (arXiv 2210.02747, equation 23, sigma 0)."""
    return F.mse_loss(velocity, image - noise)


class FlowObjective(MintingObjective):
    """The velocity between noise and image at times sigmoid(N(0, 1)) (arXiv 2403.03206, eq. 19)."""

    emits = MintingObjective.emits | {"fidelity_loss"}

    def __init__(self, setup: MintingSetup) -> None:
        super().__init__(setup)
        # not the network's forward, which samples, but what is trained
        self.velocity = FlowGenerator.velocity
        if setup.compile:
            self.velocity = torch.compile(self.velocity)

    def generator_losses(self, players: Players, chunk: LabelledBatch, share: float) -> Losses:
        """Return the flow-matching loss, a mean over pixels and channels in [-1, 1] units."""
        network, image = players.generator.network, with_margin(chunk.generator_real)
        assert isinstance(network, FlowGenerator)
        noise = self.latents("g", chunk.counters).view_as(image)
        times = self.normal("time", chunk.counters, 1)[:, 0].sigmoid()
        t = times[:, None, None, None]
        x = ((1 - t) * noise + t * image).to(memory_format=torch.channels_last)
        with self.autocast():
            labels = self._labels(chunk, network.classes)
            velocity = self.velocity(network, x, times, labels).float()
        loss = flow_matching_loss(velocity, image, noise)
        ended = x + (1 - t) * velocity
        return {
            "total": loss,
            "fidelity_loss": loss.detach(),
            "colour_drift": colour_drift(ended, image),
        }

    def _labels(self, chunk: LabelledBatch, no_class: int) -> torch.Tensor:
        """Return labels of which a share says no class, so that the network learns both."""
        drawn = torch.from_numpy(self.uniform("no-label", chunk.counters, 1)[:, 0])
        return chunk.generator_labels.masked_fill(drawn.to(self.device) < DROPPED, no_class)
