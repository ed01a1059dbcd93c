"""Claims about adversarial flow: its jumps, what they are held by, and its two stages."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from remint.generator.generator import Minter
from remint.generator.keeping import ranked
from remint.generator.networks.flow import FlowGenerator, JumpDiscriminator, JumpGenerator
from remint.generator.objectives.adversarial_flow import (
    AdversarialFlowObjective,
    JumpLossConfig,
    normalised,
    transport_cost,
)
from remint.generator.objectives.base import MintingSetup
from remint.generator.starting import GeneratorStartConfig
from remint.generator.train import AdversarialConfig, TrainGeneratorConfig, stages, train_generator
from remint.images.imageset import ImageSet
from remint.training.schedule import Budget
from tasks.train_generator import publish
from tests.test_minting import CONFIG, NETWORK, last_state, source, write_set

LOSS = replace(CONFIG.loss, augment="none", penalty="approximate", penalty_every=1)
JUMPS = AdversarialConfig(Budget(48, None), CONFIG.optimiser, 2, JumpLossConfig(0.2, 0.005, 1.0))
BOTH = replace(
    CONFIG,
    network=replace(NETWORK, name="flow", width=8, latent=256),
    loss=LOSS,
    budget=Budget(48, None),
    adversarial=JUMPS,
)
ALONE = replace(BOTH, network=replace(BOTH.network, name="adversarial_flow"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("data") / "clean")


def jumper(steps: int = 2) -> JumpGenerator:
    torch.manual_seed(0)
    network = JumpGenerator(1, 16, 2, 8, steps, 1.0, "adams")
    nn.init.normal_(network.ending.weight, 0.0, 0.1)  # it starts at 0: nothing would move
    return network.eval()


def objective(data: Path, steps: int = 2) -> AdversarialFlowObjective:
    setup = MintingSetup(source(data), 256, 0, torch.device("cpu"), "fp32")
    return AdversarialFlowObjective(setup, LOSS, JUMPS.loss, steps)


def test_one_jump_is_one_call_and_as_long_as_the_velocity(monkeypatch: pytest.MonkeyPatch) -> None:
    network, calls = jumper(steps=4), []
    monkeypatch.setattr(
        network, "velocity", lambda x, times, _: calls.append(float(times[0])) or x * 0 + 0.4
    )
    image = network(torch.zeros(2, 256), torch.tensor([0, 1]))
    assert calls == [0.0, 0.25, 0.5, 0.75]
    torch.testing.assert_close(image, torch.full((2, 1, 16, 16), 0.4))


def test_the_discriminator_begins_from_the_flow_and_reads_the_time() -> None:
    flow, rival = jumper(), JumpDiscriminator(1, 16, 2, 8)
    rival.begin_from(flow)
    assert torch.equal(rival.low[3].second.weight, flow.low[3].second.weight)  # type: ignore[union-attr]
    x, labels = torch.randn(2, 1, 16, 16), torch.tensor([0, 1])
    early, late = rival(x, labels, torch.full((2,), 0.5)), rival(x, labels, torch.ones(2))
    assert not torch.allclose(early, late) and torch.equal(late, rival(x, labels))


def test_a_normalised_slope_weighs_the_same_however_steep_the_discriminator() -> None:
    slope = torch.randn(4, 1, 8, 8)
    one, other = (normalised(s, float(s.square().mean())) for s in (slope, 1000 * slope))
    torch.testing.assert_close(one, other)
    assert float(one.square().mean().sqrt()) == pytest.approx(1 / slope.numel())


def test_the_transport_of_a_steady_way_is_the_same_in_however_many_jumps() -> None:
    start, way = torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.8)
    costs = [n * transport_cost(start, start + way / n, 1 / n) for n in (1, 2, 4)]
    assert [float(cost) for cost in costs] == pytest.approx([0.64] * 3)


def test_images_on_their_way_are_noise_at_first_and_themselves_at_last(data: Path) -> None:
    game, image = objective(data), torch.rand(3, 1, 16, 16)
    counters = torch.arange(3)
    noise = game._on_its_way(image, torch.zeros(3), "g", counters)
    assert torch.equal(game._on_its_way(image, torch.ones(3), "g", counters), image)
    assert torch.equal(noise.flatten(1), game.latents("g", counters))


def test_every_jump_is_learned_equally_often(data: Path) -> None:
    times = objective(data, steps=4)._times(torch.arange(4000))
    values, counts = times.unique(return_counts=True)
    assert values.tolist() == [0.0, 0.25, 0.5, 0.75] and counts.min() > 900


def test_a_game_that_was_interrupted_goes_on_as_one_that_was_not(
    data: Path, tmp_path: Path
) -> None:
    list(train_generator(ALONE, ImageSet(data), tmp_path / "whole"))
    asked = iter([None, None, "enough"])
    with pytest.raises(Exception, match="enough"):
        list(train_generator(ALONE, ImageSet(data), tmp_path / "cut", lambda: next(asked)))
    list(train_generator(ALONE, ImageSet(data), tmp_path / "cut"))
    whole, cut = last_state(tmp_path / "whole"), last_state(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_the_game_begins_from_the_average_of_the_flow(data: Path, tmp_path: Path) -> None:
    reports = list(train_generator(BOTH, ImageSet(data), tmp_path))
    flow = [report for report in reports if report.stage == "flow"][-1]
    game = [report for report in reports if report.stage == "adversarial_flow"]
    assert flow.progress.finished and game[-1].progress.finished
    assert game[-1].minter.card["network"]["steps"] == 2
    assert isinstance(flow.minter.network, FlowGenerator)
    assert np.isfinite(list(game[-1].progress.losses.values())).all()
    assert AdversarialFlowObjective.emits <= game[-1].progress.losses.keys()


def test_the_better_of_both_is_published_and_the_other_beside_it(
    data: Path, tmp_path: Path
) -> None:
    unfinished = tmp_path / "model/checkpoints"
    reports = list(train_generator(BOTH, ImageSet(data), unfinished))
    (unfinished / "samples").mkdir()
    (unfinished / "history.csv").write_text("images\n")
    last = {report.stage: report for report in reports}
    better = {
        name: {"selection_kid": kid} for name, kid in (("flow", 0.2), ("adversarial_flow", 0.1))
    }
    publish(tmp_path / "model", [replace(last[name], best=better[name]) for name in better])
    card = json.loads((tmp_path / "model/generator.json").read_text())
    assert card["stages"] == better and card["images_seen"] == 96
    chosen, other = Minter.load(tmp_path / "model"), Minter.load(tmp_path / "model/flow")
    assert (chosen.card["name"], other.card["name"]) == ("adversarial_flow", "flow")
    assert chosen.discriminator is not None and other.card["images_seen"] == 48


def test_a_stage_that_copies_is_not_published_however_near_it_comes() -> None:
    sound, copies = ({"selection_kid": kid, "sound": ok} for kid, ok in ((0.2, 1.0), (0.1, 0.0)))
    assert ranked(sound, "selection_kid") < ranked(copies, "selection_kid")
    assert ranked({"selection_kid": 0.1}, "selection_kid") < ranked(sound, "selection_kid")


def test_what_is_meant_for_the_game_does_not_stop_the_flow_before_it(
    data: Path, tmp_path: Path
) -> None:
    begun = list(train_generator(BOTH, ImageSet(data), tmp_path / "first"))[-1].minter
    begun.fingerprint = "parent"
    health = replace(BOTH.loop.health, accuracy_limit=0.99)
    start = GeneratorStartConfig("parent", True, 1)
    config = replace(BOTH, start=start, loop=replace(BOTH.loop, health=health))
    reports = list(train_generator(config, ImageSet(data), tmp_path / "next", start=begun))
    assert [reports[0].stage, reports[-1].stage] == ["flow", "adversarial_flow"]
    rival = reports[-1].minter.discriminator
    assert isinstance(rival, JumpDiscriminator)
    assert torch.equal(rival.beginning.weight, reports[0].minter.network.beginning.weight)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (replace(ALONE, adversarial=None), "found none for the network adversarial_flow"),
        (replace(CONFIG, adversarial=JUMPS), "found settings for the network conv"),
    ],
)
def test_a_game_without_its_settings_and_settings_without_it_are_refused(
    config: TrainGeneratorConfig, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        stages(config)
