"""What the generator's objectives share: batches, draws by image number, defaults."""

from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import ndtri

from remint.core.device import Precision, autocast
from remint.core.device_draws import device_normal
from remint.core.randomness import counter_uniform
from remint.generator.data import LabelledBatch, LabelledSource, labelled_batches
from remint.training.objective import Losses
from remint.training.players import Players


@dataclass(frozen=True)
class MintingSetup:
    """What every objective is given.

    latent: length of the generator's noise; compile: what is trained, by torch.compile; failure:
    says what is wrong with the generator, before a checkpoint is kept as good.
    """

    source: LabelledSource
    latent: int
    seed: int
    device: torch.device
    precision: Precision
    compile: bool = False
    failure: Callable[[], str | None] = lambda: None


class MintingObjective:
    """An objective of the generator (`Objective` of the loop), but for its losses.

    A subclass gives `generator_losses`, and `discriminator_losses` where it has an opponent; its
    `emits` names the figures that it adds to colour_drift.
    """

    emits: ClassVar[Set[str]] = frozenset({"colour_drift"})

    def __init__(self, setup: MintingSetup) -> None:
        self.source, self.setup, self.device = setup.source, setup, setup.device

    def batches(self, first: int) -> Iterator[LabelledBatch]:
        """Yield this process's batches on the device, from image `first` on."""
        for batch in labelled_batches(self.source, first):
            yield batch.to(self.device)

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context for network passes in the run's precision."""
        return autocast(self.device, self.setup.precision)

    def uniform(self, name: str, counters: torch.Tensor, lanes: int) -> np.ndarray:
        """Return float64 [N, lanes] in [0, 1): row n follows from the seed and counter n."""
        return counter_uniform(self.setup.seed, name, counters.numpy(), lanes)

    def normal(self, name: str, counters: torch.Tensor, lanes: int) -> torch.Tensor:
        """Return float32 [N, lanes] from N(0, 1) on the device: a row for each counter."""
        if self.device.type != "cpu":
            return device_normal(self.setup.seed, name, self._sent(counters), lanes)
        return self.moved(ndtri(self.uniform(name, counters, lanes) + 2.0**-54))

    def moved(self, draws: np.ndarray) -> torch.Tensor:
        """Return draws as float32 on the device, without waiting for what it still computes."""
        return self._sent(torch.from_numpy(draws).float())

    def _sent(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def latents(self, name: str, counters: torch.Tensor) -> torch.Tensor:
        """Return float32 [N, latent] from N(0, 1): a row for each counter."""
        return self.normal(f"latent-{name}", counters, self.setup.latent)

    def discriminator_losses(self, players: Players, chunk: LabelledBatch, share: float) -> Losses:
        """Never asked of an objective that has no opponent."""
        raise AssertionError(f"{type(self).__name__} has no discriminator")

    def generator_losses(self, players: Players, chunk: LabelledBatch, share: float) -> Losses:
        """Return what the generator minimises."""
        raise NotImplementedError

    def after_round(self, values: dict[str, float], images: int) -> None:
        """Nothing adapts."""

    def failure(self, players: Players) -> str | None:
        """Ask whoever scores snapshots."""
        return self.setup.failure()

    def state(self) -> dict[str, Any]:
        """Nothing to remember: every draw follows from the count of images."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Take back nothing."""


def colour_drift(output: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Return the outputs' mean colour minus that of real images, of the range 0..1."""
    return 0.5 * (output.detach().float().mean() - real.mean())
