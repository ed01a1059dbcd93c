"""Claims about minting: what is drawn, exact resumption, and failure."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from remint.classifier.train import ClassifierConfig
from remint.generator.augment import ADA_SPEED
from remint.generator.data import LabelledDataConfig, LabelledSource, labelled_batches
from remint.generator.networks.catalogue import (
    GeneratorConfig,
    build_generator,
    chosen,
)
from remint.generator.objectives.game import GameObjective, MintLossConfig
from remint.generator.objectives.vae import VaeObjective
from remint.generator.probe import Probe
from remint.generator.selection import SnapshotConfig, diversity
from remint.generator.starting import GeneratorStartConfig
from remint.generator.train import GeneratorReport, TrainGeneratorConfig, train_generator
from remint.images import imageset
from remint.images.imageset import ImageSet, Record
from remint.training.health import Diverged, HealthConfig
from remint.training.objective import LoopConfig
from remint.training.optimisers import OptimiserConfig
from remint.training.schedule import Budget

NETWORK = GeneratorConfig("conv", 8, 8, 4, 8, 1.0)
CONFIG = TrainGeneratorConfig(
    seed=3,
    device="cpu",
    precision="fp32",
    threads=1,
    compile=False,
    start=GeneratorStartConfig("none", True, 0),
    network=NETWORK,
    data=LabelledDataConfig(8, False, False, 0, 0.5),
    loss=MintLossConfig("relativistic", None, 0.1, "exact", 2, "ada", 0.2),
    budget=Budget(96, None),
    optimiser=OptimiserConfig(1e-3, 1e-4, (0.0, 0.9), 0.99, 0.0, None, 0.0),
    adversarial=None,
    snapshots=SnapshotConfig(32, 20, 0.0, 1.0, 2.0, None, "kid"),
    loop=LoopConfig(1, None, 50, 16, 1000, 16, 2, HealthConfig(None, 1e6, 0.9, None, 1, 0.5)),
)
SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_minting import CONFIG, train
train(CONFIG, Path({data!r}), Path({out!r}))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("data") / "clean")


def write_set(folder: Path) -> Path:
    """Write a set of two classes, 30 images of the first and 10 of the second in train."""
    rng = np.random.default_rng(0)
    records = []
    for number in range(64):
        label, split = int(number % 4 == 0), "train" if number < 40 else "val"
        image = rng.integers(0, 120, (16, 16, 1), dtype=np.uint8) + np.uint8(120 * label)
        records.append(Record(imageset.pixel_id(image), image, split, "", label=label))
    imageset.write(folder, records, metadata={"class_names": ["low", "high"], "channels": 1})
    return folder


def train(config: TrainGeneratorConfig, data: Path, out: Path) -> list[GeneratorReport]:
    return list(train_generator(config, ImageSet(data), out))


def last_state(out: Path) -> dict[str, torch.Tensor]:
    newest = max(p for p in (out / "game").iterdir() if p.name.isdigit())
    return load_file(newest / "state.safetensors")


def source(data: Path, **values: bool) -> LabelledSource:
    return LabelledSource(ImageSet(data), replace(CONFIG.data, **values), 0)


# settings


def test_sizes_that_a_network_cannot_make_are_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"28, 32, 48, 64"):
        build_generator(NETWORK, 1, 22, 2)
    with pytest.raises(ValueError, match="r3 needs 16, 32"):
        build_generator(replace(NETWORK, name="r3"), 1, 28, 2)


# data


def test_balanced_sampling_shows_each_class_equally_often(data: Path) -> None:
    counters = np.arange(200)
    for balanced, share in ((True, 0.5), (False, 0.25)):
        _, _, labels, _, generators = source(data, balanced=balanced)[counters]
        assert float(labels.double().mean()) == pytest.approx(share, abs=0.02)
        assert float(generators.double().mean()) == pytest.approx(share, abs=0.02)


def test_every_image_is_seen_once_before_any_is_seen_twice(data: Path) -> None:
    plain = source(data)
    _, real, *_ = plain[np.arange(len(plain))]
    assert len(torch.unique(real.flatten(1), dim=0)) == len(plain)


def test_batches_from_the_middle_are_those_of_a_run_from_the_start(data: Path) -> None:
    whole = labelled_batches(source(data, flip=True), 0)
    third = [next(whole) for _ in range(3)][2]
    again = next(labelled_batches(source(data, flip=True), 16))
    assert torch.equal(third.real, again.real) and torch.equal(third.labels, again.labels)
    assert torch.equal(third.generator_real, again.generator_real)
    assert third.round == again.round == 2


# training


@pytest.mark.parametrize(
    ("network", "game", "penalty", "augment"),
    [
        ("conv", "relativistic", "exact", "diffaugment"),
        ("article", "minimax", "exact", "none"),
        ("conv", "hinge", "approximate", "ada"),
        ("r3", "non_saturating", "approximate", "none"),
        ("vae", "relativistic", "exact", "none"),
    ],
)
def test_every_idea_trains_and_keeps_its_best_snapshot(
    data: Path, tmp_path: Path, network: str, game: str, penalty: str, augment: str
) -> None:
    loss = replace(CONFIG.loss, game=game, penalty=penalty, augment=augment)
    config = replace(
        CONFIG, network=replace(NETWORK, name=network), loss=loss, budget=Budget(48, None)
    )
    last = train(config, data, tmp_path / "run")[-1]
    assert last.progress.finished and np.isfinite(list(last.progress.losses.values())).all()
    assert last.best["images"] in (32, 48) and (tmp_path / "run/best.safetensors").exists()
    assert ("overfit_gap" in last.figures) == (network != "vae")
    emits = VaeObjective.emits if network == "vae" else GameObjective.emits
    assert emits <= last.progress.losses.keys()


@pytest.mark.parametrize(("network", "refused"), [("conv", "loss"), ("vae", "accuracy")])
def test_a_limit_that_an_objective_cannot_break_is_refused(
    data: Path, tmp_path: Path, network: str, refused: str
) -> None:
    health = replace(CONFIG.loop.health, loss_limit=5.0, accuracy_limit=0.9)
    health = replace(health, **{"loss_limit" if refused == "accuracy" else "accuracy_limit": None})
    loop = replace(CONFIG.loop, health=health)
    unseen = replace(CONFIG.loss, augment="none")
    config = replace(CONFIG, network=replace(NETWORK, name=network), loss=unseen, loop=loop)
    with pytest.raises(ValueError, match=f"{refused}_limit: .*would never act"):
        train(config, data, tmp_path / "run")


def test_ada_moves_once_a_round_by_the_whole_batch_in_however_many_parts(
    data: Path, tmp_path: Path
) -> None:
    probabilities = []
    for parts in (1, 4):
        train(
            replace(CONFIG, loop=replace(CONFIG.loop, accumulate=parts)),
            data,
            tmp_path / str(parts),
        )
        facts = (tmp_path / f"{parts}/game/000000000096/state.json").read_text()
        probabilities.append(json.loads(facts)["objective"]["probability"])
    assert probabilities[0] == probabilities[1]
    assert abs(probabilities[0] - 0.2) == pytest.approx(
        96 * ADA_SPEED
    )  # on an untrained D's one side


def test_the_snapshot_with_the_lowest_kid_is_the_best(data: Path, tmp_path: Path) -> None:
    best = train(CONFIG, data, tmp_path / "run")[-1].best
    scores = json.loads((tmp_path / "run/snapshots.json").read_text())
    assert [score["images"] for score in scores] == [32, 64, 96]
    assert best["selection_kid"] == min(score["selection_kid"] for score in scores)


def test_an_unlabelled_set_trains_without_classes(data: Path, tmp_path: Path) -> None:
    records = [Record(row["id"], image, row["split"], "") for row, image in ImageSet(data).images()]
    imageset.write(tmp_path / "bare", records, metadata={"class_names": [], "channels": 1})
    last = train(replace(CONFIG, budget=Budget(32, None)), tmp_path / "bare", tmp_path / "run")[-1]
    assert last.minter.classes == 1 and last.minter.class_names == []
    assert last.minter.mint(np.zeros(2, int), np.arange(2)).shape == (2, 16, 16, 1)


def test_a_killed_generator_run_ends_bit_identical(data: Path, tmp_path: Path) -> None:
    train(CONFIG, data, tmp_path / "whole")
    code = SCRIPT.format(
        tests=str(Path(__file__).parent), data=str(data), out=str(tmp_path / "killed")
    )
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
        while not list((tmp_path / "killed").glob("game/0*16")) and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    train(CONFIG, data, tmp_path / "killed")
    whole, killed = last_state(tmp_path / "whole"), last_state(tmp_path / "killed")
    assert whole.keys() == killed.keys() and all(torch.equal(whole[n], killed[n]) for n in whole)


# failure


def test_a_run_that_collapses_stops_with_a_sentence(data: Path, tmp_path: Path) -> None:
    strict = replace(CONFIG, snapshots=replace(CONFIG.snapshots, collapse_limit=0.99))
    train(strict, data, tmp_path / "young")  # it only begins: no collapse
    (tmp_path / "run").mkdir()
    earlier = {"images": 0, "selection_kid": 9.0, "diversity_ratio": 1.0, "copy_share": 0.0}
    (tmp_path / "run/snapshots.json").write_text(json.dumps([earlier]))
    with pytest.raises(Diverged, match="the generator collapsed: its images differ"):
        train(strict, data, tmp_path / "run")


def test_diversity_tells_one_image_repeated_from_many() -> None:
    rng = np.random.default_rng(0)
    many = rng.integers(0, 256, (20, 16, 16, 1), dtype=np.uint8)
    labels = np.repeat([0, 1], 10)
    collapsed = many[np.repeat([0, 10], 10)]
    assert diversity(collapsed, labels) == 0.0 < 10.0 < diversity(many, labels)


def test_auto_is_flow_whose_noise_is_as_long_as_an_image() -> None:
    auto = chosen(replace(NETWORK, name="auto"), 3, 32)
    assert (auto.name, auto.latent) == ("flow", 3 * 32 * 32)
    assert chosen(NETWORK, 1, 64) is NETWORK


# the probe


class Repeater:
    """Mints the training images themselves, or the same ones under wrong names."""

    def __init__(self, source: LabelledSource, turn: int) -> None:
        self.source, self.turn = source, turn

    def mint(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        return np.roll(self.source.pixels(np.arange(len(labels))), self.turn, axis=0)


def test_a_probe_finds_no_gap_in_real_images_and_a_wide_one_under_wrong_names(data: Path) -> None:
    clean = ImageSet(data)
    source = LabelledSource(clean, CONFIG.data, 0)
    probe = Probe(source, clean, ClassifierConfig(60, 16, 1e-2, 8, "none"))
    assert probe.score(Repeater(source, 0))["probe_gap_points"] == 0.0
    assert probe.score(Repeater(source, 1))["probe_gap_points"] > 20
