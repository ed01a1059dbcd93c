"""Training a generator: snapshots are scored on the way, the best is kept beside the last."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le

from remint.core.device import DeviceName, Precision, pick_device, resolved
from remint.core.ranges import Seed, Threads
from remint.generator.data import LabelledDataConfig, LabelledSource
from remint.generator.generator import Minter
from remint.generator.keeping import Keeper
from remint.generator.networks.catalogue import (
    FLOWS,
    WHOLE_BATCH,
    GeneratorConfig,
    build_discriminator,
    build_generator,
    chosen,
)
from remint.generator.objectives.adversarial_flow import AdversarialFlowObjective, JumpLossConfig
from remint.generator.objectives.base import MintingObjective, MintingSetup
from remint.generator.objectives.catalogue import build_objective
from remint.generator.objectives.game import MintLossConfig
from remint.generator.selection import SnapshotConfig, SnapshotScores
from remint.generator.starting import Begun, GeneratorStartConfig, begin_game, freeze, take_over
from remint.images.imageset import ImageSet
from remint.networks.weights import count_parameters
from remint.training.checkpoint import CheckpointStore, network_settings, run_settings
from remint.training.distributed import refuse_batch_norm
from remint.training.loop import fit
from remint.training.objective import LoopConfig
from remint.training.optimisers import OptimiserConfig
from remint.training.players import Player, Players
from remint.training.progress import Progress
from remint.training.schedule import Budget

JUMPS: Literal["adversarial_flow"] = "adversarial_flow"


@dataclass(frozen=True)
class AdversarialConfig:
    """The game after flow, or by itself: its budget and optimisers, jumps an image, its losses."""

    budget: Budget
    optimiser: OptimiserConfig
    steps: Annotated[int, Ge(1), Le(64)]
    loss: JumpLossConfig


@dataclass(frozen=True)
class TrainGeneratorConfig:
    """The train_generator section of params.yaml.

    adversarial: what the network adversarial_flow trains by, and flow afterwards (null: it does
    not), from its averaged weights; `loss` is of every game.
    """

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
    adversarial: AdversarialConfig | None
    snapshots: SnapshotConfig
    loop: LoopConfig


@dataclass(frozen=True)
class GeneratorReport:
    """Where a stage stands; figures: of the last snapshot; fresh: they are new; best: so far.

    stage: the name of the network that it trains; folder: of the stage's checkpoints and snapshots;
    criterion: the figure of `best` whose lowest value is chosen.
    """

    stage: str
    folder: Path
    progress: Progress
    minter: Minter
    criterion: str
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
    """Train stage by stage, resuming from `checkpoints` where a run was cut off.

    start: whose weights the networks have at first; needed just where config.start names a model.
    `best.safetensors` in a stage's folder holds its chosen snapshot, `snapshots.json` all scores.
    Raises what `fit` raises, and ValueError where set, settings and start do not fit together.
    """
    device = pick_device(config.device, config.threads)
    config.loop.check_parts(config.data.batch)
    source = LabelledSource(clean, config.data, config.seed)
    network = chosen(config.network, source.channels, source.size)
    config = replace(config, network=network, precision=resolved(device, config.precision))
    identity = run_identity(config, clean, start)
    scores = SnapshotScores(source, clean, config.snapshots, device)
    criterion = scores.criterion
    before: torch.nn.Module | None = None
    most_diverse = 0.0
    for name, settings in stages(config).items():
        players, begun = build_players(settings, source, device, start, before)
        folder = checkpoints if before is None else checkpoints / name
        minter = current_minter(settings, source, players, clean, begun)
        keeper = Keeper(folder, scores, minter, most_diverse)
        objective = stage_objective(settings, source, device, keeper.failure)
        store = CheckpointStore(folder / "game", identity, config.loop.keep)
        for progress in fit(objective, players, config.loop, settings.budget, store, stop_reason):
            keeper.note(progress)
            told = keeper.figures, keeper.seen == progress.images, keeper.best
            yield GeneratorReport(name, folder, progress, minter, criterion, *told)
        before, most_diverse = players.average, keeper.most_diverse


def stages(config: TrainGeneratorConfig) -> dict[str, TrainGeneratorConfig]:
    """Return the settings of each stage by the name of its network (not auto), in their order.

    Raises ValueError where adversarial flow has no settings, or another network has some.
    """
    network, jumps = config.network, config.adversarial
    if (network.name == JUMPS and not jumps) or (network.name not in FLOWS and jumps):
        raise ValueError(
            f"adversarial: found {'settings' if jumps else 'none'} for the network {network.name}; "
            f"it is what {JUMPS} trains by, and flow if asked to"
        )
    first: dict[str, TrainGeneratorConfig] = {network.name: config}
    if not jumps:
        return first
    jumping = replace(network, name=JUMPS, steps=jumps.steps, guidance=1.0)
    game = replace(config, network=jumping, budget=jumps.budget, optimiser=jumps.optimiser)
    return {JUMPS: game} if network.name == JUMPS else {**first, JUMPS: game}


def stage_objective(
    settings: TrainGeneratorConfig,
    source: LabelledSource,
    device: torch.device,
    failure: Callable[[], str | None],
) -> MintingObjective:
    """Return what a stage trains by; ValueError where health watches what it never says."""
    about = settings.network.latent, settings.seed, device, settings.precision
    setup = MintingSetup(source, *about, settings.compile, failure)
    jumps = settings.adversarial.loss if settings.adversarial else None
    objective = build_objective(settings.network, settings.loss, setup, jumps)
    of_game = AdversarialFlowObjective.emits if jumps else frozenset()
    settings.loop.health.refuse_unwatched(objective.emits | of_game)
    return objective


def run_identity(
    config: TrainGeneratorConfig, clean: ImageSet, start: Minter | None
) -> dict[str, Any]:
    """Return what must be equal for a checkpoint to be continued: settings, data and start."""
    begun = config.start
    kept = {"fingerprint": start.fingerprint, "strict": begun.strict} if start else {}
    whole = config.network.name in WHOLE_BATCH
    settings = run_settings(asdict(config), "start", whole_batch=whole)
    settings["network"] = network_settings(config.network)
    return {
        "train_generator": settings,
        "data": {"clean": clean.fingerprint},
        **({"start": {**kept, "freeze": begun.freeze}} if start else {}),
    }


def build_players(
    config: TrainGeneratorConfig,
    source: LabelledSource,
    device: torch.device,
    start: Minter | None,
    before: torch.nn.Module | None = None,
) -> tuple[Players, dict[str, Any]]:
    """Return both networks with their optimisers, and what the card says of their start.

    before: the flow that an earlier stage trained, whose weights this one begins from. Without it
    and without a start, weights follow from the seed alone.
    """
    classes = max(1, len(source.class_names))
    torch.manual_seed(config.seed)
    network = build_generator(config.network, source.channels, source.size, classes)
    discriminator = build_discriminator(config.network, source.channels, source.size, classes)
    config.start.check_given(start.fingerprint if start else None)
    begun = Begun(config.network, source.class_names, network, discriminator)
    told = {"start": take_over(begun, start, strict=config.start.strict)} if start else {}
    if before is not None:
        begin_game(network, discriminator, before)
    if discriminator or not config.adversarial:  # else it is for the game that follows
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
