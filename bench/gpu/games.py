"""The games that are measured, full size or tiny, and how one of them is begun and trained."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from bench.gpu.frame import Bench
from bench.gpu.sets import Sets
from remint.core.device import pick_device
from remint.generator.data import LabelledDataConfig, LabelledSource
from remint.generator.networks.catalogue import GeneratorConfig, chosen
from remint.generator.objectives.adversarial_flow import JumpLossConfig
from remint.generator.objectives.game import MintLossConfig
from remint.generator.selection import SnapshotConfig
from remint.generator.starting import GeneratorStartConfig
from remint.generator.train import (
    AdversarialConfig,
    TrainGeneratorConfig,
    build_players,
    stage_objective,
    stages,
)
from remint.restorer.data import DataConfig, NoiseConfig, PairSource
from remint.restorer.networks.catalogue import (
    DiscriminatorConfig,
    NetworkConfig,
    build_discriminator,
    build_network,
)
from remint.restorer.objective import Restoration, RestorationLossConfig
from remint.restorer.train import (
    StageConfig,
    TrainRestorerConfig,
    fidelity_only,
)
from remint.training.checkpoint import CheckpointStore
from remint.training.health import HealthConfig
from remint.training.loop import fit
from remint.training.objective import LoopConfig, Objective
from remint.training.optimisers import OptimiserConfig
from remint.training.players import Player, Players
from remint.training.progress import Progress
from remint.training.schedule import Budget
from remint.training.starting import StartConfig

Config = TrainRestorerConfig | TrainGeneratorConfig
C = TypeVar("C", bound=Config)
NEVER = 10**9  # images between what is not wanted here
ADAMW = OptimiserConfig(1e-3, 1e-5, (0.9, 0.99), 0.99, 0.0, None, 0.0)
MUON = replace(ADAMW, muon=3e-3, warm_up=0.03)
RIVALS = OptimiserConfig(2e-4, 5e-5, (0.0, 0.9), 0.99, 0.0, None, 0.0)
LOOP = LoopConfig(
    1, 1.0, 20_000.0, NEVER, NEVER, NEVER, 2, HealthConfig(None, None, None, None, 0, 0.5)
)
NOISE = NoiseConfig((25.0, 25.0), 1.0)
FLIPPED = LabelledDataConfig(64, True, False, 0, 0.25)


@dataclass(frozen=True)
class Game:
    """A game that has begun: what is asked, who plays, and how the loop is set."""

    objective: Objective[Any]
    players: Players
    loop: LoopConfig
    batch: int

    def train(
        self,
        store: Path,
        budget: Budget,
        log_every: int = NEVER,
        stop: Callable[[], str | None] = lambda: None,
    ) -> Iterator[Progress]:
        """Train from what the store holds; see `fit`."""
        loop = replace(self.loop, log_every=log_every)
        return fit(self.objective, self.players, loop, budget, CheckpointStore(store, {}, 2), stop)


def size_of(bench: Bench) -> int:
    """Return the side in px of the images that the games are played on."""
    return 32 if bench.tiny else 64


def restorer(bench: Bench, network: str = "nafnet", **values: Any) -> TrainRestorerConfig:
    """Return the settings of a restorer with its discriminator: that of the preset `gpu`."""
    nafnet = NetworkConfig("nafnet", 64, (2, 2, 4), 6, 1, 3)
    plain = NetworkConfig("plain_unet", 64, (2,), 2, 2, 3, sharpening=6)
    full = {"nafnet": nafnet, "plain_unet": plain}[network]
    if bench.tiny:
        full = replace(full, width=8, encoder=(1,), middle=1, stem=2)
    config = TrainRestorerConfig(
        seed=1,
        device=bench.name,
        precision="fp32",
        threads=None,
        compile=False,
        start=StartConfig("none", True),
        network=full,
        discriminator=DiscriminatorConfig("patchgan", 8 if bench.tiny else 64, True),
        data=DataConfig(8 if bench.tiny else 64, None, "dihedral", NOISE, 0, 0.25, 0.0),
        loss=RestorationLossConfig(
            "charbonnier", 1.0, "features", 0.1, 0.01, "relativistic", 1.0, 4
        ),
        fidelity=StageConfig(Budget(NEVER, None), ADAMW),
        adversarial=StageConfig(Budget(NEVER, None), RIVALS),
        loop=LOOP,
        default_interpolation=0.0,
        doubt=None,
        validation_images=0,
    )
    return replace(config, **values)


def minting(bench: Bench, network: str, **values: Any) -> TrainGeneratorConfig:
    """Return the settings of a generator, with its discriminator where it has one."""
    full = GeneratorConfig(network, 256 if network == "r3" else 96, 256, 64, 8, 1.0, "adams")  # type: ignore[arg-type]
    if network in ("flow", "adversarial_flow", "vae", "article"):
        full = replace(full, width=64, discriminator_width=96)
    if bench.tiny:
        full = replace(full, width=16, discriminator_width=16, latent=8, steps=2)
    without = network in ("flow", "vae")
    config = TrainGeneratorConfig(
        seed=1,
        device=bench.name,
        precision="fp32",
        threads=None,
        compile=False,
        start=GeneratorStartConfig("none", True, 0),
        network=full,
        data=replace(FLIPPED, batch=8) if bench.tiny else FLIPPED,
        loss=MintLossConfig(
            "relativistic", None, 0.1, "exact", 4, "none" if without else "ada", 0.2
        ),
        budget=Budget(NEVER, None),
        optimiser=ADAMW if without else RIVALS,
        adversarial=None,
        snapshots=SnapshotConfig(NEVER, 20, 0.0, 1.0, 2.0, None, "kid"),
        loop=LOOP,
    )
    return replace(config, **values)


def every_game(bench: Bench) -> dict[str, Config]:
    """Return the settings of every game and objective by name, each network and penalty once.

    At most 16 images a round, since one of them is played on the CPU at full size too.
    """
    return {
        name: fed(config, batch=min(16, config.data.batch))
        for name, config in _every_game(bench).items()
    }


def fed(config: C, **data: Any) -> C:
    """Return the settings with other values in their data section."""
    return replace(config, data=replace(config.data, **data))  # type: ignore[arg-type]


def _every_game(bench: Bench) -> dict[str, Config]:
    hinge = MintLossConfig("hinge", None, 0.1, "approximate", 4, "diffaugment", 0.0)
    minimax = MintLossConfig("minimax", 0.0, 0.1, "exact", 4, "none", 0.0)
    softplus = MintLossConfig("non_saturating", None, 0.1, "exact", 4, "ada", 0.2)
    unchanged = replace(softplus, game="relativistic", augment="none", augment_probability=0.0)
    jumps = AdversarialConfig(Budget(NEVER, None), RIVALS, 4, JumpLossConfig(0.2, 0.005, 1.0))
    unet = DiscriminatorConfig("unet", 8 if bench.tiny else 32, False)
    return {
        "restorer nafnet, relativistic": restorer(bench),
        "restorer plain_unet, relativistic": restorer(bench, "plain_unet", discriminator=unet),
        "restorer plain_unet, pixels alone": restorer(bench, "plain_unet", adversarial=None),
        "generator conv, relativistic": minting(bench, "conv"),
        "generator conv, hinge": minting(bench, "conv", loss=hinge),
        "generator article, minimax": minting(bench, "article", loss=minimax),
        "generator r3, non-saturating": minting(bench, "r3", loss=softplus),
        "generator vae": minting(bench, "vae"),
        "generator flow": minting(bench, "flow"),
        "generator flow, Muon": minting(bench, "flow", optimiser=MUON),
        "generator adversarial_flow": minting(
            bench, "adversarial_flow", loss=unchanged, adversarial=jumps
        ),
    }


def begin(config: Config, sets: Sets) -> Game:
    """Return the game at its first round: all that follows comes from the settings."""
    if isinstance(config, TrainRestorerConfig):
        return _begin_restorer(config, sets)
    device = pick_device(config.device, config.threads)
    source = LabelledSource(sets.clean, config.data, config.seed)
    network = chosen(config.network, source.channels, source.size)
    *_, settings = stages(replace(config, network=network)).values()
    players, _ = build_players(settings, source, device, None)
    objective = stage_objective(settings, source, device, lambda: None)
    return Game(objective, players, config.loop, config.data.batch)


def _begin_restorer(config: TrainRestorerConfig, sets: Sets) -> Game:
    device = pick_device(config.device, config.threads)
    channels = int(sets.clean.metadata["channels"])
    torch.manual_seed(config.seed)
    network = build_network(config.network, channels)
    rival = build_discriminator(config.discriminator, channels) if config.adversarial else None
    objective = Restoration(
        PairSource(*sets, config.data, config.seed),
        config.loss if rival else fidelity_only(config.loss),
        conditional=config.discriminator.conditional,
        multiple=network.multiple,  # type: ignore[arg-type]
        device=device,
        precision=config.precision,
    )
    optimiser = (config.adversarial or config.fidelity).optimiser
    sides = [
        Player(_placed(side, device, config.compile), optimiser)
        for side in (network, rival)
        if side is not None
    ]
    players = Players(sides[0], sides[1] if rival else None)
    return Game(objective, players, config.loop, config.data.batch)


def _placed(network: nn.Module, device: torch.device, compiled: bool) -> nn.Module:
    network = network.train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compiled:
        network.compile(backend="inductor" if device.type == "cuda" else "aot_eager")
    return network
