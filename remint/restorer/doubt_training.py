"""Teaching the head of the map of doubt, when its restorer is finished and frozen."""

from collections.abc import Callable, Iterator, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from remint.core.device import autocast
from remint.core.ranges import Images, InnerShare
from remint.restorer.data import PairSource
from remint.restorer.doubt import LEVELS, Doubt, DoubtHead
from remint.restorer.restorer import Restorer
from remint.restorer.rounds import PairBatch, batches
from remint.training.checkpoint import CheckpointStore
from remint.training.health import HealthConfig
from remint.training.loop import fit
from remint.training.objective import LoopConfig, Losses
from remint.training.optimisers import OptimiserConfig
from remint.training.players import Player, Players
from remint.training.progress import Progress
from remint.training.schedule import Budget

OPTIMISER = OptimiserConfig(3e-3, 1e-6, (0.9, 0.99), 0.99, 0.0, None, 0.03)
UNWATCHED = HealthConfig(None, None, None, None, rollbacks=0, rate_factor=0.5)


@dataclass(frozen=True)
class DoubtConfig:
    """images: shown to the head; alpha: share of the most doubtful pixels that may be missed."""

    images: Images
    alpha: InnerShare


class DoubtReport(NamedTuple):
    """Where the training stands, and the head as it would be used, its lambda not yet chosen."""

    progress: Progress
    doubt: Doubt


def pinball_loss(scale: torch.Tensor, error: torch.Tensor, quantile: float) -> torch.Tensor:
    """Return mean max(q (e - u), (q - 1) (e - u)), least where u is the q-quantile of e.

    Koenker and Bassett, "Regression quantiles" (Econometrica 46, 1978). scale, error: N,1,H,W.
    """
    over = error - scale
    return torch.maximum(quantile * over, (quantile - 1) * over).mean()


class DoubtLearning:
    """The objective put to the loop: u is the (1 - alpha)-quantile of the restorer's error.

    Of its worst channel, in pictures as files hold them: clipped and rounded to 8 bits.
    """

    emits: Set[str] = frozenset({"doubt_loss"})

    def __init__(self, source: PairSource, restorer: Restorer, quantile: float) -> None:
        self.source, self.restorer, self.quantile = source, restorer, quantile

    def batches(self, first: int) -> Iterator[PairBatch]:
        """Yield batches on the restorer's device."""
        for batch in batches(self.source, first):
            yield batch.to(self.restorer.device)

    def generator_losses(self, players: Players, chunk: PairBatch, share: float) -> Losses:
        """Return the pinball loss of the head, with nothing of it reaching the restorer."""
        restored = rounded(self.restorer(chunk.damaged))
        error = (restored - chunk.clean).abs().amax(dim=1, keepdim=True)
        with autocast(self.restorer.device, self.restorer.precision):
            scale = players.generator.network(chunk.damaged, restored)
        loss = pinball_loss(scale, error, self.quantile)
        return {"total": loss, "doubt_loss": loss}

    def discriminator_losses(self, players: Players, chunk: PairBatch, share: float) -> Losses:
        """Refuse: there is no rival here."""
        raise NotImplementedError("the map of doubt has no discriminator")

    def after_round(self, values: dict[str, float], images: int) -> None:
        """Nothing adapts."""

    def failure(self, players: Players) -> str | None:
        """Nothing can go wrong that the loop does not see."""
        return None

    def state(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing is remembered."""


def rounded(image: torch.Tensor) -> torch.Tensor:
    """Return float [-1, 1] as a file of 8 bits would give it back."""
    return ((image.clamp(-1, 1) + 1) * LEVELS).round() / LEVELS - 1


def train_doubt(
    config: DoubtConfig,
    restorer: Restorer,
    source: PairSource,
    loop: LoopConfig,
    checkpoints: Path,
    identity: dict[str, Any],
    stop_reason: Callable[[], str | None] = lambda: None,
) -> Iterator[DoubtReport]:
    """Train a head on the frozen restorer, in its precision, resuming from `checkpoints`.

    Yields a report at every log interval, the last one finished. identity: of restorer and data.
    Raises what `fit` raises.
    """
    torch.manual_seed(source.seed + 2)  # draws initial weights alone
    head = DoubtHead(restorer.channels).to(restorer.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    players = Players(Player(head.train(), OPTIMISER), None)
    doubt = Doubt(players.average, restorer.channels, restorer.device)  # type: ignore[arg-type]
    way = {"interpolation": restorer.interpolation, "precision": restorer.precision}
    whole = {**identity, "doubt": asdict(config), **way}
    store = CheckpointStore(checkpoints, whole, loop.keep)
    unwatched = replace(loop, health=UNWATCHED)
    objective = DoubtLearning(source, restorer, 1 - config.alpha)
    for progress in fit(
        objective, players, unwatched, Budget(config.images, None), store, stop_reason
    ):
        yield DoubtReport(progress, doubt)
