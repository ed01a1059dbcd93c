"""The one training loop: a generator of progress that serves every game.

errors:
    Diverged          see health
    CheckpointError   see checkpoint
    Interrupted       somebody asked the run to stop; it was saved first and can be resumed
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Generic

import torch

from remint.training.checkpoint import Checkpoint, CheckpointError, CheckpointStore
from remint.training.distributed import (
    agree_max,
    all_equal,
    average_values,
    decided_by_first,
    rank,
)
from remint.training.health import Diverged, HealthConfig, HealthMonitor, give_up_sentence
from remint.training.objective import B, LoopConfig, Losses, Objective
from remint.training.players import Player, Players
from remint.training.progress import Clock, Progress, Window
from remint.training.schedule import Budget, ema_weight


class Interrupted(Exception):
    """The run was asked to stop; its state is saved."""


def fit(
    objective: Objective[B],
    players: Players,
    config: LoopConfig,
    budget: Budget,
    store: CheckpointStore,
    stop_reason: Callable[[], str | None] = lambda: None,
) -> Iterator[Progress]:
    """Train until the budget is spent, from the store's newest checkpoint if there is one.

    Yields Progress at every log interval, on a roll-back and at the end; the caller logs, draws
    and saves. Nothing but the budget, the objective and the checkpoint decides the weights: on a
    CPU a run that was killed and resumed ends bit-identical to one that was not.
    stop_reason: asked every round; a text makes the run save itself and raise Interrupted.
    """
    run = _Run(objective, players, HealthMonitor(config.health), store)
    progress = run.resume()
    if progress is None:
        progress = Progress()
        run.save(progress)  # there is always a state to roll back to
    clock, window = Clock(progress.minutes, players.device), run.window
    batches = objective.batches(progress.images)

    while (share := budget.share(progress.images, progress.minutes)) < 1.0:
        players.schedule(share, progress.rate_scale)
        batch = next(batches)
        values = play_round(objective, players, batch, config, share)
        before, now = progress.images, progress.images + batch.images
        save_due = _passed(before, now, config.checkpoint_every)

        failure = run.monitor.check(values) or (save_due and run.failure())
        if failure:
            progress = run.roll_back(progress, config.health, failure)
            clock = Clock(progress.minutes, players.device)
            batches = objective.batches(progress.images)
            yield replace(progress)
            progress.note = None
            continue

        objective.after_round(values, batch.images)
        players.update_average(ema_weight(batch.images, config.ema_half_life, now))
        progress.images, progress.minutes = now, clock.minutes()
        window.add(values)

        if _passed(before, now, config.log_every):
            progress.sample_due = _passed(window.start, now, config.sample_every)
            progress.losses = window.close(now)
            yield replace(progress)
        stop = clock.agree(stop_reason())
        if save_due or stop:  # after the report: who resumes here has told all up to here
            run.save(progress)
        if stop:
            raise Interrupted(f"stopped at image {now:,} and saved: {stop}")

    if window.rounds:
        progress.losses = window.close(progress.images)
    yield replace(progress, sample_due=True, finished=True)
    run.save(progress)


def play_round(
    objective: Objective[B], players: Players, batch: B, config: LoopConfig, share: float
) -> dict[str, float]:
    """Let the discriminator, then the generator, take one step; return the round's figures.

    A side whose gradient is not finite takes no step.
    """
    figures: Losses = {}
    generator, discriminator = players.generator, players.discriminator
    if discriminator:
        generator.learns(False)
        chunks = batch.chunks(config.accumulate)
        asked = (objective.discriminator_losses(players, chunk, share) for chunk in chunks)
        figures |= _step(discriminator, asked, len(chunks), config.clip, "discriminator")
        generator.learns(True)
        discriminator.learns(False)
    chunks = batch.chunks(config.accumulate)
    asked = (objective.generator_losses(players, chunk, share) for chunk in chunks)
    figures |= _step(generator, asked, len(chunks), config.clip, "generator")
    if discriminator:
        discriminator.learns(True)
    names = list(figures)
    values = torch.stack([figures[n].detach().float() for n in names]).tolist()  # CPU-GPU sync
    return average_values(dict(zip(names, values, strict=True)), players.device)


def _step(
    player: Player, asked: Iterator[Losses], parts: int, clip: float | None, side: str
) -> Losses:
    """Sum the gradients of the parts' mean loss and take one optimiser step, if it is finite."""
    player.optimiser.zero_grad()
    means: Losses = {}
    for losses in asked:
        (losses["total"] / parts).backward()
        for name, loss in losses.items():
            key = f"{side}_loss" if name == "total" else name
            means[key] = means.get(key, 0.0) + loss.detach() / parts
    norm = player.clip_gradients(clip)
    if torch.isfinite(norm):  # CPU-GPU sync
        player.optimiser.step()
    return {**means, f"{side}_gradient_norm": norm}


@dataclass(frozen=True)
class _Run(Generic[B]):
    """What a checkpoint is made of, and made from."""

    objective: Objective[B]
    players: Players
    monitor: HealthMonitor
    store: CheckpointStore
    window: Window = field(default_factory=Window)

    def resume(self) -> Progress | None:
        """Take the store's newest checkpoint; None where there is none.

        Raises CheckpointError where processes, on machines of their own, found different ones.
        """
        checkpoint = self.store.latest()
        images = checkpoint.facts["progress"]["images"] if checkpoint else -1
        if not all_equal(images, self.players.device):
            raise CheckpointError(
                f"{self.store.folder}: the processes found different checkpoints there (this one "
                f"{images:,} images, -1: none); put the folder on a disk that all machines share"
            )
        if checkpoint is None:
            return None
        self.players.load(checkpoint.tensors)
        self.monitor.load(checkpoint.facts["health"])
        self.objective.load(checkpoint.facts["objective"])
        self.window.load(checkpoint.facts["window"])
        return Progress(**checkpoint.facts["progress"])

    def failure(self) -> str | None:
        """Ask the objective in the first process, so that all roll back or none does."""
        return decided_by_first(lambda: self.objective.failure(self.players))

    def save(self, progress: Progress) -> None:
        """Write a checkpoint, in the first process alone."""
        if rank() != 0:
            return
        kept = ("images", "minutes", "rate_scale", "rollbacks")
        facts = {
            "progress": {name: getattr(progress, name) for name in kept},
            "health": self.monitor.state(),
            "objective": self.objective.state(),
            "window": self.window.state(),
        }
        self.store.save(progress.images, Checkpoint(self.players.tensors(), facts))

    def roll_back(self, seen: Progress, limits: HealthConfig, failure: str) -> Progress:
        """Return to the last good checkpoint at a lowered rate, or raise Diverged."""
        if seen.rollbacks >= limits.rollbacks:
            raise Diverged(give_up_sentence(failure, seen.images, seen.rollbacks))
        good = self.resume()
        assert good is not None
        agree_max(0.0, self.players.device)  # nobody still reads what is now replaced
        good.rollbacks, good.minutes = seen.rollbacks + 1, seen.minutes
        good.rate_scale = seen.rate_scale * limits.rate_factor
        good.note = (
            f"at image {seen.images:,} {failure}: back to image {good.images:,}, "
            f"rates now {good.rate_scale:.3g} times the schedule's"
        )
        self.save(good)
        return good


def _passed(before: int, now: int, interval: int) -> bool:
    return now // interval > before // interval
