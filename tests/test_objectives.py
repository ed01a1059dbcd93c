"""Claims about the generator's objectives: their losses, ADA, and in what precision they run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from remint.generator.augment import ADA_SPEED
from remint.generator.data import LabelledDataConfig, LabelledSource
from remint.generator.networks.catalogue import (
    DISCRIMINATORS,
    FLOWS,
    GENERATORS,
    WHOLE_BATCH,
    GeneratorConfig,
    build_discriminator,
    build_generator,
)
from remint.generator.networks.flow import FlowGenerator
from remint.generator.networks.generators import ConditionalVae
from remint.generator.objectives.base import MintingSetup, colour_drift
from remint.generator.objectives.flow import FlowObjective
from remint.generator.objectives.game import (
    STEP,
    GameObjective,
    MintLossConfig,
    approximate_penalty,
    default_gamma,
)
from remint.generator.objectives.vae import VaeObjective, sigma_vae_loss
from remint.images import imageset
from remint.images.imageset import ImageSet, Record
from remint.training.players import OptimiserConfig, Player, Players


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> LabelledSource:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (16, 16, 1), dtype=np.uint8) for _ in range(12)]
    records = [Record(imageset.pixel_id(i), i, "train", "", label=0) for i in images]
    folder: Path = tmp_path_factory.mktemp("objectives") / "clean"
    imageset.write(folder, records, metadata={"class_names": ["one"], "channels": 1})
    return LabelledSource(ImageSet(folder), LabelledDataConfig(8, False, False, 0, 0.5), 0)


def game(source: LabelledSource, augment: str, precision: str = "fp32") -> GameObjective:
    loss = MintLossConfig("relativistic", None, 0.1, "exact", 2, augment, 0.2)  # type: ignore[arg-type]
    setup = MintingSetup(source, 4, 0, torch.device("cpu"), precision)  # type: ignore[arg-type]
    return GameObjective(setup, loss)


def test_compile_compiles_what_flow_and_vae_train(
    source: LabelledSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function) or function)
    for compile in (False, True):
        setup = MintingSetup(source, 4, 0, torch.device("cpu"), "fp32", compile)
        FlowObjective(setup), VaeObjective(setup)
    assert compiled == [FlowGenerator.velocity, ConditionalVae.encode]


def test_the_approximate_penalty_is_the_exact_one_in_expectation() -> None:
    torch.manual_seed(0)
    discriminator = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 6), torch.nn.Tanh())
    discriminator.append(torch.nn.Linear(6, 1))
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64).requires_grad_()
    discriminator.double()
    gradient = torch.autograd.grad(discriminator(x).sum(), x)[0]
    exact = gradient.square().flatten(1).sum(1).mean()
    many = x.detach().repeat(20_000, 1, 1, 1)
    nudged = many + STEP * torch.randn_like(many)
    with torch.no_grad():
        approximate = approximate_penalty(discriminator(many)[:, 0], discriminator(nudged)[:, 0])
    assert float(approximate) == pytest.approx(float(exact), rel=0.03)


def test_the_vae_loss_is_least_for_a_perfect_copy_with_an_uninformative_code() -> None:
    target = torch.rand(4, 1, 8, 8) * 2 - 1
    zero = torch.zeros(4, 3)
    far, _ = sigma_vae_loss(target + 0.5, target, zero, zero)
    near, nothing = sigma_vae_loss(target + 0.1, target, zero, zero)
    assert near < far and float(nothing) == 0.0
    # KL of N(1, 1) from N(0, 1) is a half nat a dimension
    assert float(sigma_vae_loss(target, target, zero + 1, zero)[1]) == pytest.approx(1.5)
    # ten times the error costs D log 10
    more, less = (sigma_vae_loss(target + e, target, zero, zero)[0] for e in (0.5, 0.05))
    assert float(more - less) == pytest.approx(64 * np.log(10), rel=1e-3)


def test_the_first_gamma_grows_with_pixels_and_falls_with_the_batch() -> None:
    assert default_gamma(28, 64) == pytest.approx(0.3)
    assert default_gamma(56, 64) == pytest.approx(4 * 0.3)
    assert default_gamma(28, 128) == pytest.approx(0.15)


def test_penalty_rounds_and_others_train_a_compiled_discriminator(source: LabelledSource) -> None:
    objective = game(source, "none")
    network = GeneratorConfig("conv", 8, 8, 4, 8, 1.0)
    discriminator = build_discriminator(network, 1, 16, 1)
    assert discriminator is not None
    discriminator.compile(backend="aot_eager")
    optimiser = OptimiserConfig(1e-3, 1e-4, (0.0, 0.9), 0.99, 0.0, None, 0.0)
    networks = build_generator(network, 1, 16, 1), discriminator
    players = Players(*(Player(side, optimiser) for side in networks))
    losses = []
    for batch, _ in zip(objective.batches(0), range(2), strict=False):
        losses.append(objective.discriminator_losses(players, batch, 0.0)["total"])
        losses[-1].backward()
    assert losses[0] > losses[1]  # the penalty comes on top in the first
    assert all(p.grad is not None for p in discriminator.parameters())


def test_a_black_generator_drifts_by_the_mean_of_the_real_images() -> None:
    real = torch.zeros(3, 1, 4, 4)  # mid-grey
    assert float(colour_drift(torch.full((5, 1, 4, 4), -1.0), real)) == -0.5


def test_ada_rises_while_reals_are_told_too_surely_and_falls_otherwise(
    source: LabelledSource,
) -> None:
    objective = game(source, "ada")
    objective.after_round({"real_sign": 0.9}, 32)
    assert objective.probability == pytest.approx(0.2 + 32 * ADA_SPEED)
    objective.after_round({"real_sign": 0.1}, 64)
    assert objective.probability == pytest.approx(0.2 - 32 * ADA_SPEED)
    fixed = game(source, "none")
    fixed.after_round({"real_sign": 0.9}, 32)
    assert fixed.state() == {"probability": 0.2}


@pytest.mark.parametrize("augment", ["diffaugment", "ada"])
def test_augmentation_is_as_exact_in_a_bf16_run(source: LabelledSource, augment: str) -> None:
    images, counters = torch.rand(8, 1, 16, 16) * 2 - 1, torch.arange(8)
    exact = game(source, augment).augmented(images, "real", counters)
    objective = game(source, augment, "bf16")
    with objective.autocast():
        assert torch.equal(objective.augmented(images, "real", counters), exact)


def test_what_batch_norm_makes_depend_on_a_whole_batch_is_known_by_name() -> None:
    normed = {"vae"}  # by its loss, the log of a mean
    for name in GENERATORS | FLOWS:
        config = GeneratorConfig(name, 8, 8, 16, 1, 1.0)  # type: ignore[arg-type]
        built = [build_generator(config, 1, 16, 2)]
        if name in DISCRIMINATORS:
            built.append(build_discriminator(config, 1, 16, 2))  # type: ignore[arg-type]
        modules = (module for network in built for module in network.modules())
        if any(isinstance(module, nn.BatchNorm2d) for module in modules):
            normed.add(name)
    assert normed == set(WHOLE_BATCH)
