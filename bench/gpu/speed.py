"""Images/s of the loop: in bf16, compiled, and against steps on a batch that lies in memory."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from bench.gpu.frame import Bench, Row, attempted, now
from bench.gpu.games import MUON, Config, Game, begin, fed, minting, restorer, size_of
from bench.gpu.sets import Sets, draw_sets
from remint.core.device import Precision
from remint.training.feeding import Numbered, feed
from remint.training.loop import Interrupted
from remint.training.objective import Losses
from remint.training.players import Player
from remint.training.schedule import Budget

PARTS = 10  # reports of a run; the first part, in which kernels are chosen, is not timed
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
MINUTES = 1.2  # of one run after its first part, so that a subcommand stays within its nine


@dataclass(frozen=True)
class Timing:
    """Images/s after the first part; seconds to its end; means of the last part's figures."""

    rate: float
    first_seconds: float
    images: int
    figures: dict[str, float]

    @property
    def loss(self) -> float:
        """The generator's loss, the fidelity alone where there is a discriminator beside it."""
        return self.figures.get("fidelity_loss", self.figures["generator_loss"])


def timed(config: Config, sets: Sets, rounds: int) -> Timing:
    """Train so many rounds, a multiple of PARTS, and time them by the loop's own reports.

    A run that is not over MINUTES after its first report ends there; its schedule is not changed.
    """
    start, seen = time.perf_counter(), list[tuple[float, int, dict[str, float]]]()
    game = begin(config, sets)
    part = rounds // PARTS * game.batch

    def late() -> str | None:
        return "late" if seen and time.perf_counter() - seen[0][0] > 60 * MINUTES else None

    with TemporaryDirectory() as folder, suppress(Interrupted):
        for report in game.train(Path(folder), Budget(PARTS * part, None), part, late):
            if not report.finished:  # which comes with the last part's
                seen.append((time.perf_counter(), report.images, report.losses))
    (first, few, _), (last, images, figures) = seen[0], seen[-1]
    rate = (images - few) / (last - first) if len(seen) > 1 else float("nan")
    return Timing(rate, first - start, images, figures)


def precision(bench: Bench) -> Iterator[Row]:
    """bf16 against fp32, both in the loop: images/s, the loss at the end of as many images.

    loss: mean of the last tenth, of the restorer and of flow what they minimise, of r3 its game's.
    Slow runs are cut short: where `images` differ, the losses can't be compared.
    """
    sets = draw_sets(bench.folder, size_of(bench), 64 if bench.tiny else 4096)
    rounds = PARTS if bench.tiny else 2000
    for name, config in _speeds(bench).items():
        for kind in PRECISIONS:
            one = replace(config, precision=kind)
            yield attempted(f"{name}, {kind}", partial(_told, one, sets, rounds))


def compile_(bench: Bench) -> Iterator[Row]:
    """Networks as they are and by torch.compile, in bf16: images/s, seconds to the first report.

    Penalty rounds run as they are in both. On a CPU nothing is compiled to C++, which takes a
    minute: the graph alone is taken.
    """
    sets = draw_sets(bench.folder, size_of(bench), 64 if bench.tiny else 4096)
    rounds = PARTS if bench.tiny else 600
    games = _speeds(bench)
    for name, config in list(games.items())[:1] if bench.tiny else games.items():
        for compiled in (False, True):
            one = replace(config, compile=compiled, precision="bf16")
            words = "compiled" if compiled else "as it is"
            torch.compiler.reset()  # nothing compiled before is found again
            yield attempted(f"{name}, {words}", partial(_told, one, sets, rounds))


def _told(config: Config, sets: Sets, rounds: int) -> Row:
    timing = timed(config, sets, rounds)
    return {
        "images/s": timing.rate,
        "first seconds": timing.first_seconds,
        "loss": timing.loss,
        "images": timing.images,
    }


def _speeds(bench: Bench) -> dict[str, Config]:
    """Return the games whose speed is measured, the restorer fed by processes beside a GPU."""
    return {
        "restorer nafnet, pixels alone": fed(
            restorer(bench, adversarial=None), workers=bench.workers
        ),
        "generator flow, Muon": minting(bench, "flow", optimiser=MUON),
        "generator r3": minting(bench, "r3"),
    }


def feeding(bench: Bench) -> Iterator[Row]:
    """The loop against the same losses on one batch in memory, in fp32; then feeding alone.

    bare: forward, backward and step alone: no feeding, clipping, averaging or reports, though the
    generators' noise is drawn still. Feeding alone, by number of workers (0: in the process
    itself): crops with drawn everyday damage, crops with plain noise, and labelled images.
    """
    sets = draw_sets(bench.folder, size_of(bench), 64 if bench.tiny else 4096)
    rounds = PARTS if bench.tiny else 400
    for name, config in _speeds(bench).items():
        yield attempted(name, partial(_beside_bare, config, sets, rounds))
    large = draw_sets(bench.folder / "large", 4 * size_of(bench), 16 if bench.tiny else 512)
    for workers in (0,) if bench.tiny else (0, 4, 8, 14):
        for name, (config, of) in _feeds(bench, sets, large).items():
            words = f"feeding alone, {name}, {workers} workers"
            yield attempted(words, partial(_fed_rate, config, of, workers, rounds // 2))


def _beside_bare(config: Config, sets: Sets, rounds: int) -> Row:
    loop, bare = timed(config, sets, rounds).rate, bare_rate(begin(config, sets), rounds)
    return {"images/s": loop, "bare images/s": bare, "ratio": loop / bare}


def bare_rate(game: Game, rounds: int) -> float:
    """Return images/s of the game's steps on its first batch, the first tenth not timed."""
    players, ask = game.players, game.objective
    batch, warm = next(game.objective.batches(0)), rounds // PARTS
    device = players.device
    for step in range(rounds):
        if step == warm:
            start = now(device)
        seen = replace(batch, round=step)
        if players.discriminator:
            players.generator.learns(False)
            _step(players.discriminator, ask.discriminator_losses(players, seen, 0.5))
            players.generator.learns(True)
            players.discriminator.learns(False)
        _step(players.generator, ask.generator_losses(players, seen, 0.5))
        if players.discriminator:
            players.discriminator.learns(True)
    return (rounds - warm) * game.batch / (now(device) - start)


def _step(player: Player, losses: Losses) -> None:
    player.optimiser.zero_grad()
    losses["total"].backward()
    player.optimiser.step()


def _feeds(bench: Bench, sets: Sets, large: Sets) -> dict[str, tuple[Config, Sets]]:
    side = size_of(bench)
    noise = fed(restorer(bench), patch=side)
    return {
        "drawn damage": (fed(noise, noise=None), large),
        "noise": (noise, large),
        "labelled": (minting(bench, "flow"), sets),
    }


def _fed_rate(config: Config, sets: Sets, workers: int, rounds: int) -> Row:
    """Return images/s of batches that nobody uses, once every worker has begun."""
    game = begin(config, sets)
    source: Numbered = game.objective.source  # type: ignore[attr-defined]
    batches = feed(source, 0, game.batch, workers)
    for _ in range(1 + 2 * workers):  # as many as workers hold ready, two each
        next(batches)
    start = time.perf_counter()
    for _ in range(rounds):
        next(batches)
    return {"images/s": rounds * game.batch / (time.perf_counter() - start)}
