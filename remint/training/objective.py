"""What a game brings to the loop, and how the loop is set."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, Self, TypeVar

import torch
from annotated_types import Ge, Gt, Le

from remint.core.ranges import Images, Limit
from remint.training.distributed import world_size
from remint.training.health import HealthConfig
from remint.training.players import Players

Losses = dict[str, torch.Tensor]  # scalars; "total" is minimised, the rest is for the record


class Batch(Protocol):
    """One round's images; whatever follows from the round's number travels with them."""

    @property
    def images(self) -> int:
        """Images of the round, over all processes."""
        ...

    def chunks(self, parts: int) -> list[Self]:
        """Split into equal parts."""
        ...


B = TypeVar("B", bound=Batch)


class Objective(Protocol[B]):
    """What a game asks: restoration and minting differ in nothing else.

    A batch is split by `chunks` for gradient accumulation; losses are means over the chunk. An
    objective without a discriminator is never asked for discriminator_losses.
    """

    @property
    def emits(self) -> Set[str]:
        """Figures among its losses in every round, by which `health` may watch it."""
        ...

    def batches(self, first: int) -> Iterator[B]:
        """Yield this process's batches from the first image on; the same for every start."""
        ...

    def discriminator_losses(self, players: Players, chunk: B, share: float) -> Losses:
        """Return what the discriminator minimises at this share of the budget."""
        ...

    def generator_losses(self, players: Players, chunk: B, share: float) -> Losses:
        """Return what the generator minimises at this share of the budget."""
        ...

    def after_round(self, values: dict[str, float], images: int) -> None:
        """Adapt to the figures of a round: means over its images, of all processes together.

        Called once a round, after both sides' steps; a round that is rolled back does not count.
        """
        ...

    def failure(self, players: Players) -> str | None:
        """Say what is wrong before a checkpoint is kept as good; None where all is well."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what the objective itself must remember over a checkpoint, JSON-able."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        ...


@dataclass(frozen=True)
class LoopConfig:
    """How the loop runs, whatever the game. All counts are of images seen.

    accumulate: equal parts in which a batch is taken, each with its own statistics where a network
    has batch-norm; clip: gradient norm (null: none);
    ema_half_life: of the averaged generator; log_every, sample_every, checkpoint_every: intervals;
    keep: checkpoints that stay.
    """

    accumulate: Annotated[int, Ge(1), Le(65_536)]
    clip: Limit | None
    ema_half_life: Annotated[float, Gt(0), Le(10**12)]
    log_every: Images
    sample_every: Images
    checkpoint_every: Images
    keep: Annotated[int, Ge(1), Le(10_000)]
    health: HealthConfig

    def check_parts(self, batch: int) -> None:
        """Raise ValueError where a process's share of the batch has no equal parts."""
        share = batch // world_size()
        if share % self.accumulate:
            raise ValueError(
                f"loop.accumulate: found {self.accumulate} parts for {share} images a process, "
                "needed a divisor; unequal parts would weigh images unequally"
            )
