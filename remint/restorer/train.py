"""Training a restorer in two stages: fidelity, then adversarial from its average."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le

from remint.core.device import DeviceName, Precision, pick_device, resolved
from remint.core.ranges import Seed, Share, Threads
from remint.images.imageset import ImageSet
from remint.networks.weights import count_parameters
from remint.restorer.calibration import HeldOutPairs, too_few
from remint.restorer.data import DataConfig, PairSource
from remint.restorer.doubt import SECTION, Doubt
from remint.restorer.doubt_training import DoubtConfig, train_doubt
from remint.restorer.networks.catalogue import (
    WHOLE_BATCH,
    DiscriminatorConfig,
    NetworkConfig,
    build_discriminator,
    build_network,
)
from remint.restorer.objective import Restoration, RestorationLossConfig
from remint.restorer.restorer import ADVERSARIAL, FIDELITY, Restorer, interpolate
from remint.restorer.starting import take_over
from remint.restorer.suitability import training_statistics
from remint.training.checkpoint import CheckpointStore, network_settings, run_settings
from remint.training.distributed import refuse_batch_norm
from remint.training.loop import fit
from remint.training.objective import LoopConfig
from remint.training.optimisers import OptimiserConfig
from remint.training.players import Player, Players
from remint.training.progress import Progress
from remint.training.schedule import Budget
from remint.training.starting import StartConfig

# What may change between a run and its continuation: nothing of it touches the weights
LOOKED_AT_ONLY = ("validation_images", "default_interpolation")


@dataclass(frozen=True)
class StageConfig:
    """One stage: its budget and the optimiser of both sides."""

    budget: Budget
    optimiser: OptimiserConfig


@dataclass(frozen=True)
class TrainRestorerConfig:
    """The train_restorer section of params.yaml.

    fidelity: pixel loss alone; adversarial: the whole of `loss`, from the fidelity average (null:
    no such stage); default_interpolation: 0 the fidelity weights, 1 the adversarial ones, used
    unless somebody asks otherwise; doubt: the map of doubt, taught afterwards on those weights
    (null: none); validation_images: val pairs looked at during training.
    threads: of the CPU (null: torch's choice): one number gives one result on every machine.
    """

    seed: Seed
    device: DeviceName
    precision: Precision
    threads: Threads | None
    compile: bool
    start: StartConfig
    network: NetworkConfig
    discriminator: DiscriminatorConfig
    data: DataConfig
    loss: RestorationLossConfig
    fidelity: StageConfig
    adversarial: StageConfig | None
    loop: LoopConfig
    default_interpolation: Share
    doubt: DoubtConfig | None
    validation_images: Annotated[int, Ge(0), Le(10**7)]

    def __post_init__(self) -> None:
        if self.default_interpolation and self.adversarial is None:
            raise ValueError(
                "default_interpolation: there is no adversarial stage to blend with; set it to 0"
            )


@dataclass(frozen=True)
class Report:
    """What the caller is told: which stage, where it stands, and its averaged network.

    doubt: the map of doubt that the stage of this name teaches, beside the blended restorer.
    """

    stage: str
    progress: Progress
    restorer: Restorer
    doubt: Doubt | None = None


def train_restorer(
    config: TrainRestorerConfig,
    clean: ImageSet,
    corrupted: ImageSet,
    checkpoints: Path,
    stop_reason: Callable[[], str | None] = lambda: None,
    start: Restorer | None = None,
) -> Iterator[Report]:
    """Train both stages, resuming from `checkpoints` where a run was cut off.

    start: whose weights the generator and its average have at first; needed just where
    config.start names a model. Yields a Report at every log interval; the last one of a stage has
    progress.finished. Raises what `fit` raises, and ValueError where sets, settings and start do
    not fit together.
    """
    device = pick_device(config.device, config.threads)
    asked, config = config, replace(config, precision=resolved(device, config.precision))
    config.loop.check_parts(config.data.batch)
    source = PairSource(clean, corrupted, config.data, config.seed)
    channels = int(clean.metadata["channels"])
    identity = run_identity(config, clean, corrupted, start)
    network = _fresh_network(config, channels)
    card = model_card(config, channels, clean, corrupted, count_parameters(network))
    card |= _started(network, config, start) | _no_doubt(config, clean, corrupted)
    objectives = {
        stage: Restoration(
            source,
            loss,
            conditional=config.discriminator.conditional,
            multiple=network.multiple,  # type: ignore[arg-type]
            device=device,
            precision=config.precision,
        )
        for stage, loss in stage_losses(config).items()
    }
    emitted = {figure for objective in objectives.values() for figure in objective.emits}
    config.loop.health.refuse_unwatched(emitted)
    averages: dict[str, dict[str, torch.Tensor]] = {}
    for stage, objective in objectives.items():
        stage_config: StageConfig = getattr(config, stage)
        players = _players(config, stage_config, stage, network.to(device), channels, source.side)
        store = CheckpointStore(checkpoints / stage, identity, config.loop.keep)
        restorer = Restorer(players.average, card, device)
        budget = stage_config.budget
        for progress in fit(objective, players, config.loop, budget, store, stop_reason):
            yield Report(stage, progress, restorer)
        averages[stage] = players.average.state_dict()
        network.load_state_dict(averages[stage])
    if config.doubt and SECTION not in card:
        restorer = _blended(network, averages, asked, card, device)
        told = checkpoints / SECTION, identity, stop_reason
        for progress, doubt in train_doubt(config.doubt, restorer, source, config.loop, *told):
            yield Report(SECTION, progress, restorer, doubt)


def _no_doubt(config: TrainRestorerConfig, clean: ImageSet, corrupted: ImageSet) -> dict[str, Any]:
    """Return what the card says where a map of doubt is wanted and can't be promised."""
    if config.doubt is None:
        return {}
    pairs = HeldOutPairs(clean, corrupted, config.data.noise, config.seed)
    refused = too_few(pairs, config.doubt.alpha)
    return {SECTION: {"refused": refused}} if refused else {}


def _blended(
    network: torch.nn.Module,
    averages: dict[str, dict[str, torch.Tensor]],
    config: TrainRestorerConfig,
    card: dict[str, Any],
    device: torch.device,
) -> Restorer:
    """Return the restorer that is used unless somebody asks otherwise, in its own precision."""
    share = config.default_interpolation
    weights = averages[FIDELITY]
    weights = interpolate(weights, averages[ADVERSARIAL], share) if share else weights
    network.load_state_dict(weights)
    restorer = Restorer(network, card, device, config.precision)
    restorer.interpolation = share
    return restorer


def run_identity(
    config: TrainRestorerConfig, clean: ImageSet, corrupted: ImageSet, start: Restorer | None
) -> dict[str, Any]:
    """Return what must be equal for a checkpoint to be continued: settings, data and start."""
    whole = config.network.name in WHOLE_BATCH or config.discriminator.name in WHOLE_BATCH
    settings = run_settings(asdict(config), *LOOKED_AT_ONLY, "start", SECTION, whole_batch=whole)
    settings["network"] = network_settings(config.network)
    data = {"clean": clean.fingerprint, "corrupted": corrupted.fingerprint}
    begun = {"start": start.fingerprint, "strict": config.start.strict} if start else {}
    return {"train_restorer": settings, "data": data, **begun}


def _started(
    network: torch.nn.Module, config: TrainRestorerConfig, start: Restorer | None
) -> dict[str, Any]:
    """Give the network the start's weights; return what the card says of it."""
    config.start.check_given(start.fingerprint if start else None)
    if start is None:
        return {}
    unfit = take_over(network, start, config.network, strict=config.start.strict)
    return {"start": {"fingerprint": start.fingerprint, "not_taken": unfit}}


def model_card(
    config: TrainRestorerConfig,
    channels: int,
    clean: ImageSet,
    corrupted: ImageSet,
    parameters: int,
) -> dict[str, Any]:
    """Return what restorer.json says of a model."""
    return {
        "network": asdict(config.network),
        "channels": channels,
        "default_interpolation": config.default_interpolation,
        "parameters": parameters,
        "precision": config.precision,
        "training_images": training_statistics(clean, config.data.patch),
        "data": {"clean": clean.fingerprint, "corrupted": corrupted.fingerprint},
    }


def stage_losses(config: TrainRestorerConfig) -> dict[str, RestorationLossConfig]:
    """Return the loss of each stage, in their order."""
    adversarial = {ADVERSARIAL: config.loss} if config.adversarial else {}
    return {FIDELITY: fidelity_only(config.loss), **adversarial}


def fidelity_only(loss: RestorationLossConfig) -> RestorationLossConfig:
    """Return the loss of the first stage: the pixel term alone."""
    kept = {"perceptual_weight": 0.0, "adversarial_weight": 0.0, "gamma": 0.0}
    return RestorationLossConfig(**{**asdict(loss), **kept})


def _fresh_network(config: TrainRestorerConfig, channels: int) -> torch.nn.Module:
    torch.manual_seed(config.seed)  # draws initial weights alone
    network = build_network(config.network, channels).to(memory_format=torch.channels_last)
    refuse_batch_norm(network, f"network {config.network.name}")
    if config.compile:
        network.compile()
    return network


def _players(
    config: TrainRestorerConfig,
    stage_config: StageConfig,
    stage: str,
    network: torch.nn.Module,
    channels: int,
    side: int,
) -> Players:
    generator = Player(network.train(), stage_config.optimiser)
    if stage == FIDELITY or config.loss.adversarial_weight == 0:
        return Players(generator, None)
    torch.manual_seed(config.seed + 1)
    rival = build_discriminator(config.discriminator, channels)
    if side < rival.smallest:  # type: ignore[operator]
        raise ValueError(
            f"discriminator: {config.discriminator.name} needs images of {rival.smallest} px or "
            f"more and training shows {side} px; choose another discriminator, or larger images"
        )
    refuse_batch_norm(rival, f"discriminator {config.discriminator.name}")
    rival = rival.to(pick_device(config.device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.compile:
        rival.compile()
    return Players(generator, Player(rival.train(), stage_config.optimiser))
