"""Training a generator: one game, snapshots scored on the way, the best kept beside the last."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from remint.core.atomic import replaced_file
from remint.core.device import DeviceName, Precision, pick_device, resolved
from remint.core.ranges import Seed, Threads
from remint.generator.data import LabelledDataConfig, LabelledSource
from remint.generator.generator import Minter
from remint.generator.networks.catalogue import (
    GeneratorConfig,
    build_discriminator,
    build_generator,
    chosen,
)
from remint.generator.objectives.base import MintingSetup
from remint.generator.objectives.catalogue import build_objective
from remint.generator.objectives.game import MintLossConfig
from remint.generator.selection import SnapshotConfig, SnapshotScores
from remint.generator.starting import Begun, GeneratorStartConfig, freeze, take_over
from remint.images.imageset import ImageSet
from remint.networks.weights import count_parameters, network_note, save_network
from remint.training.checkpoint import CheckpointStore, run_settings
from remint.training.distributed import rank, refuse_batch_norm
from remint.training.loop import fit
from remint.training.objective import LoopConfig
from remint.training.optimisers import OptimiserConfig
from remint.training.players import Player, Players
from remint.training.progress import Progress
from remint.training.schedule import Budget

BEST = "best.safetensors"


@dataclass(frozen=True)
class TrainGeneratorConfig:
    """The train_generator section of params.yaml."""

    seed: Seed
    device: DeviceName
    precision: Precision
    threads: Threads | None
    compile: bool
    start: GeneratorStartConfig
    network: GeneratorConfig
    data: LabelledDataConfig
    loss: MintLossConfig
    budget: Budget
    optimiser: OptimiserConfig
    snapshots: SnapshotConfig
    loop: LoopConfig


@dataclass(frozen=True)
class GeneratorReport:
    """Where training stands; figures: of the last snapshot; fresh: they are new; best: so far."""

    progress: Progress
    minter: Minter
    figures: dict[str, float]
    fresh: bool = False
    best: dict[str, float] = field(default_factory=dict)


def train_generator(
    config: TrainGeneratorConfig,
    clean: ImageSet,
    checkpoints: Path,
    stop_reason: Callable[[], str | None] = lambda: None,
    start: Minter | None = None,
) -> Iterator[GeneratorReport]:
    """Train, resuming from `checkpoints` where a run was cut off.

    start: whose weights the networks have at first; needed just where config.start names a model.
    `best.safetensors` in that folder holds the chosen snapshot, and `snapshots.json` all scores.
    Raises what `fit` raises, and ValueError where set, settings and start do not fit together.
    """
    device = pick_device(config.device, config.threads)
    config.loop.check_parts(config.data.batch)
    source = LabelledSource(clean, config.data, config.seed)
    network = chosen(config.network, source.channels, source.size)
    precision = resolved(device, config.precision)
    config = replace(config, network=network, precision=precision)
    players, begun = build_players(config, source, device, start)
    minter = current_minter(config, source, players, clean, begun)
    keeper = Keeper(checkpoints, SnapshotScores(source, clean, config.snapshots, device), minter)
    setup = MintingSetup(
        source, network.latent, config.seed, device, precision, config.compile, keeper.failure
    )
    objective = build_objective(network, config.loss, setup)
    config.loop.health.refuse_unwatched(objective.emits)
    identity = run_identity(config, clean, start)
    store = CheckpointStore(checkpoints / "game", identity, config.loop.keep)
    for progress in fit(objective, players, config.loop, config.budget, store, stop_reason):
        keeper.note(progress)
        fresh = keeper.seen == progress.images
        yield GeneratorReport(progress, minter, keeper.figures, fresh, keeper.best)


def run_identity(
    config: TrainGeneratorConfig, clean: ImageSet, start: Minter | None
) -> dict[str, Any]:
    """Return what must be equal for a checkpoint to be continued: settings, data and start."""
    begun = config.start
    kept = {"fingerprint": start.fingerprint, "strict": begun.strict} if start else {}
    return {
        "train_generator": run_settings(asdict(config), "start"),
        "data": {"clean": clean.fingerprint},
        **({"start": {**kept, "freeze": begun.freeze}} if start else {}),
    }


def build_players(
    config: TrainGeneratorConfig, source: LabelledSource, device: torch.device, start: Minter | None
) -> tuple[Players, dict[str, Any]]:
    """Return both networks with their optimisers, and what the card says of their start.

    Without a start, weights follow from the seed alone.
    """
    classes = max(1, len(source.class_names))
    torch.manual_seed(config.seed)
    network = build_generator(config.network, source.channels, source.size, classes)
    discriminator = build_discriminator(config.network, source.channels, source.size, classes)
    config.start.check_given(start.fingerprint if start else None)
    begun = Begun(config.network, source.class_names, network, discriminator)
    told = {"start": take_over(begun, start, strict=config.start.strict)} if start else {}
    freeze(discriminator, config.start.freeze)
    sides = [
        _placed(side, config.compile, device)
        for side in (network, discriminator)
        if side is not None
    ]
    generator, *rival = [Player(side, config.optimiser) for side in sides]
    return Players(generator, rival[0] if rival else None), told


def _placed(network: torch.nn.Module, compiled: bool, device: torch.device) -> torch.nn.Module:
    refuse_batch_norm(network, "this generator or discriminator")
    network = network.train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compiled:
        network.compile()
    return network


def current_minter(
    config: TrainGeneratorConfig,
    source: LabelledSource,
    players: Players,
    clean: ImageSet,
    begun: dict[str, Any],
) -> Minter:
    """Return a view on the averaged generator: it always shows the players' state of the moment."""
    card = {
        "name": config.network.name,
        "network": asdict(config.network),
        "channels": source.channels,
        "size": source.size,
        "class_names": source.class_names,
        "parameters": count_parameters(players.generator.network),
        "precision": config.precision,
        "data": {"clean": clean.fingerprint},
        **begun,
    }
    return Minter(players.average, None, card, players.device).watching(
        players.discriminator.network if players.discriminator else None
    )


class Keeper:
    """Scores snapshots at their interval and keeps the best one on disk, its score with it."""

    def __init__(self, folder: Path, snapshots: SnapshotScores, minter: Minter) -> None:
        self.folder, self.snapshots, self.minter = folder, snapshots, minter
        self.figures: dict[str, float] = {}
        self.seen = -1
        path = folder / "snapshots.json"
        self.scores: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        self.best: dict[str, float] = json.loads(network_note(folder / BEST) or "{}")

    def note(self, progress: Progress) -> None:
        """Look if it is time, and keep the snapshot where it is the best so far.

        What a killed or rolled back run saw of images to come is forgotten; the best is not.
        """
        self.scores = [score for score in self.scores if score["images"] <= progress.images]
        earlier = [score for score in self.scores if score["images"] < progress.images]
        every, last = self.snapshots.config.every, earlier[-1]["images"] if earlier else 0
        due = progress.finished or progress.images // every > last // every
        if not due or progress.note or progress.images == self.seen:
            return
        self.seen = progress.images
        self.figures = self.snapshots.score(self.minter)
        score = {"images": progress.images, **self.figures}
        self.scores = [*earlier, score]
        criterion = self.snapshots.criterion
        better = not self.best or (score[criterion] <= self.best[criterion] and not self.failure())
        self.best = score if better else self.best
        if rank() == 0:
            if better:
                save_network(self.folder / BEST, self.minter.network, json.dumps(score))
            with replaced_file(self.folder / "snapshots.json") as path:
                path.write_text(json.dumps(self.scores, indent=1))

    def failure(self) -> str | None:
        """Look before a checkpoint is kept as good, and say what is wrong."""
        most = max((score["diversity_ratio"] for score in self.scores), default=0.0)
        return self.snapshots.failure(self.snapshots.signs(self.minter), most)
