"""Do the device and the CPU play the same game, and does a resumed run end like a whole one?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch

from bench.gpu.frame import Bench, Row, attempted
from bench.gpu.games import Config, begin, every_game, size_of
from bench.gpu.sets import Sets, draw_sets
from remint.training.checkpoint import CheckpointStore
from remint.training.loop import Interrupted, play_round
from remint.training.players import Players
from remint.training.schedule import Budget

Tensors = dict[str, torch.Tensor]
ROUNDS, TINY_ROUNDS = 8, 4  # of a whole run; every fourth has penalties


@dataclass(frozen=True)
class Played:
    """One round: its figures, and by network one float64 vector of gradients and of weights."""

    figures: dict[str, float]
    gradients: Tensors
    before: Tensors
    after: Tensors


def parity(bench: Bench) -> Iterator[Row]:
    """One round of every game on the CPU and on the device, from the same seed, in IEEE fp32.

    Largest relative differences: of the losses and norms, each by itself; of gradients, of updates
    (what the round added to the weights) and of weights, each network's as one vector.
    """
    sets = draw_sets(bench.folder, size_of(bench), 64)
    for name, config in every_game(bench).items():
        yield attempted(name, partial(compared, config, sets))


def compared(config: Config, sets: Sets) -> Row:
    """Return how far the configuration's device is from the CPU after one round."""
    ours, theirs = played(replace(config, device="cpu"), sets), played(config, sets)
    told = [name for name in ours.figures if name.endswith(("_loss", "_norm"))]
    losses = ({name: torch.tensor(one.figures[name]) for name in told} for one in (ours, theirs))
    return {
        "losses": furthest(*losses),
        "gradients": furthest(ours.gradients, theirs.gradients),
        "updates": furthest(_updates(ours), _updates(theirs)),
        "weights": furthest(ours.after, theirs.after),
    }


def played(config: Config, sets: Sets) -> Played:
    """Play the first round, in which penalties are due."""
    game = begin(config, sets)
    game.players.schedule(0.5, 1.0)
    before = _vectors(game.players, "data")
    batch = next(game.objective.batches(0))
    figures = play_round(game.objective, game.players, batch, game.loop, 0.5)
    return Played(figures, _vectors(game.players, "grad"), before, _vectors(game.players, "data"))


def _vectors(players: Players, what: str) -> Tensors:
    """Return the `data` or the last `grad` of each network as one float64 vector on the CPU."""
    sides: dict[str, Any] = {"generator": players.generator, "discriminator": players.discriminator}
    return {
        name: torch.cat([_values(getattr(weight, what)) for weight in player.trained])
        for name, player in sides.items()
        if player
    }


def _values(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().double().flatten()


def _updates(one: Played) -> Tensors:
    return {name: one.after[name] - one.before[name] for name in one.after}


def furthest(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> float:
    """Return the largest |ours - theirs| / |ours| over the names, of Euclidean norms."""
    return max(
        float((value - theirs[name]).norm() / value.norm().clamp(min=1e-12))
        for name, value in ours.items()
    )


def resume(bench: Bench) -> Iterator[Row]:
    """A run of some rounds against half of it, resumed in a game begun anew, for every game.

    difference: the largest absolute one of any tensor of the last checkpoint, optimisers' states
    with them; floor: the same between two whole runs, which is 0 where the device repeats itself.
    """
    sets = draw_sets(bench.folder, size_of(bench), 64)
    rounds = TINY_ROUNDS if bench.tiny else ROUNDS
    for name, config in every_game(bench).items():
        yield attempted(name, partial(resumed, config, sets, rounds, bench.folder / name))


def resumed(config: Config, sets: Sets, rounds: int, folder: Path) -> Row:
    """Return whether the halves end where the whole does."""
    whole, again = (_trained(config, sets, rounds, folder / name) for name in ("whole", "again"))
    _trained(config, sets, rounds, folder / "halves", rounds // 2)
    halves = _trained(config, sets, rounds, folder / "halves")
    difference = _largest_difference(whole, halves)
    floor = _largest_difference(whole, again)
    return {"equal": difference == 0, "difference": difference, "floor": floor}


def _trained(
    config: Config, sets: Sets, rounds: int, store: Path, until: int | None = None
) -> Tensors:
    """Train a game begun anew on from the store, `until` so many rounds (None: to the end)."""
    game, asked = begin(config, sets), count(1)
    budget = Budget(rounds * game.batch, None)

    def stop() -> str | None:
        return "half" if next(asked) == until else None

    try:
        list(game.train(store, budget, stop=stop))
    except Interrupted:
        assert until is not None
    kept = CheckpointStore(store, {}, 2).latest()
    assert kept is not None
    return kept.tensors


def _largest_difference(ours: Tensors, theirs: Tensors) -> float:
    if ours.keys() != theirs.keys():
        raise ValueError(f"tensors differ: {sorted(ours.keys() ^ theirs.keys())[:3]}")
    return max(float((ours[name].double() - theirs[name].double()).abs().max()) for name in ours)
