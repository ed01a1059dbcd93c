"""Claims about minting: the losses, what is drawn, exact resumption, failure, and the Minter."""

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
from safetensors.torch import load_file, save_file

from remint.classifier.train import ClassifierConfig
from remint.core.fingerprint import model_fingerprint
from remint.generator.augment import ADA_SPEED
from remint.generator.data import LabelledDataConfig, LabelledSource, labelled_batches
from remint.generator.generator import CARD, DISCRIMINATOR_WEIGHTS, FORMAT, WEIGHTS, Minter
from remint.generator.networks.catalogue import (
    GeneratorConfig,
    build_discriminator,
    build_generator,
    chosen,
)
from remint.generator.objectives.base import MintingSetup
from remint.generator.objectives.game import (
    STEP,
    GameObjective,
    MintLossConfig,
    approximate_penalty,
    default_gamma,
)
from remint.generator.objectives.vae import VaeObjective, sigma_vae_loss
from remint.generator.probe import Probe
from remint.generator.selection import SnapshotConfig, diversity, nearest
from remint.generator.train import MintReport, TrainGeneratorConfig, train_generator
from remint.images import imageset
from remint.images.imageset import ImageSet, Record
from remint.metrics.nearest import thumbnails
from remint.training.health import Diverged, HealthConfig
from remint.training.objective import LoopConfig
from remint.training.players import OptimiserConfig
from remint.training.schedule import Budget

NETWORK = GeneratorConfig("conv", 8, 8, 4)
CONFIG = TrainGeneratorConfig(
    seed=3,
    device="cpu",
    precision="fp32",
    threads=1,
    compile=False,
    network=NETWORK,
    data=LabelledDataConfig(8, False, False, 0, 0.5),
    loss=MintLossConfig("relativistic", None, 0.1, "exact", 2, "ada", 0.2),
    budget=Budget(96, None),
    optimiser=OptimiserConfig(1e-3, 1e-4, (0.0, 0.9), 0.99, 0.0),
    snapshots=SnapshotConfig(32, 20, 0.0, 0.0, 2.0, None, "kid"),
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
    """A set of two classes, 30 images of the first and 10 of the second in train."""
    folder = tmp_path_factory.mktemp("data") / "clean"
    rng = np.random.default_rng(0)
    records = []
    for number in range(64):
        label, split = int(number % 4 == 0), "train" if number < 40 else "val"
        image = rng.integers(0, 120, (16, 16, 1), dtype=np.uint8) + np.uint8(120 * label)
        records.append(Record(imageset.pixel_id(image), image, split, "", label=label))
    imageset.write(folder, records, metadata={"class_names": ["low", "high"], "channels": 1})
    return folder


def train(config: TrainGeneratorConfig, data: Path, out: Path) -> list[MintReport]:
    return list(train_generator(config, ImageSet(data), out))


def last_state(out: Path) -> dict[str, torch.Tensor]:
    newest = max(p for p in (out / "game").iterdir() if p.name.isdigit())
    return load_file(newest / "state.safetensors")


def source(data: Path, **values: bool) -> LabelledSource:
    return LabelledSource(ImageSet(data), replace(CONFIG.data, **values), 0)


# losses


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
        found = approximate_penalty(discriminator(many)[:, 0], discriminator(nudged)[:, 0])
    assert float(found) == pytest.approx(float(exact), rel=0.03)


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
    config = replace(CONFIG, network=replace(NETWORK, name=network), loop=loop)
    with pytest.raises(ValueError, match=f"{refused}_limit: .*would never act"):
        train(config, data, tmp_path / "run")


def test_ada_moves_once_a_round_by_the_whole_batch_in_however_many_parts(
    data: Path, tmp_path: Path
) -> None:
    found = []
    for parts in (1, 4):
        train(
            replace(CONFIG, loop=replace(CONFIG.loop, accumulate=parts)),
            data,
            tmp_path / str(parts),
        )
        facts = (tmp_path / f"{parts}/game/000000000096/state.json").read_text()
        found.append(json.loads(facts)["objective"]["probability"])
    assert found[0] == found[1]
    assert abs(found[0] - 0.2) == pytest.approx(96 * ADA_SPEED)  # on an untrained D's one side


def game(data: Path, augment: str) -> GameObjective:
    loss = replace(CONFIG.loss, augment=augment)
    setup = MintingSetup(source(data), 4, 0, torch.device("cpu"), "fp32")
    return GameObjective(setup, loss)


def test_ada_rises_while_reals_are_told_too_surely_and_falls_otherwise(data: Path) -> None:
    objective = game(data, "ada")
    objective.after_round({"real_sign": 0.9}, 32)
    assert objective.probability == pytest.approx(0.2 + 32 * ADA_SPEED)
    objective.after_round({"real_sign": 0.1}, 64)
    assert objective.probability == pytest.approx(0.2 - 32 * ADA_SPEED)
    fixed = game(data, "none")
    fixed.after_round({"real_sign": 0.9}, 32)
    assert fixed.state() == {"probability": 0.2}


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
    earlier = {"images": 0, "selection_kid": 9.0, "diversity_ratio": 1.0, "copy_ratio": 1.0}
    (tmp_path / "run/snapshots.json").write_text(json.dumps([earlier]))
    with pytest.raises(Diverged, match="the generator collapsed: its images differ"):
        train(strict, data, tmp_path / "run")


def test_diversity_tells_one_image_repeated_from_many() -> None:
    rng = np.random.default_rng(0)
    many = rng.integers(0, 256, (20, 16, 16, 1), dtype=np.uint8)
    labels = np.repeat([0, 1], 10)
    collapsed = many[np.repeat([0, 10], 10)]
    assert diversity(collapsed, labels) == 0.0 < 10.0 < diversity(many, labels)


def test_a_copied_training_image_lies_nearer_than_a_new_one() -> None:
    rng = np.random.default_rng(0)
    train, new = (rng.integers(0, 256, (30, 28, 28, 1), dtype=np.uint8) for _ in range(2))
    small = thumbnails(train)
    assert nearest(train[:5], small).max() == 0.0 < 10.0 < nearest(new, small).min()


def test_auto_is_r3_on_a_gpu_at_a_size_it_has_and_conv_elsewhere() -> None:
    auto = replace(NETWORK, name="auto")
    names = [chosen(auto, size, gpu).name for size, gpu in ((64, True), (28, True), (64, False))]
    assert names == ["r3", "conv", "conv"] and chosen(NETWORK, 64, True) is NETWORK


# the Minter


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with an untrained generator of three classes."""
    folder = tmp_path / "model"
    folder.mkdir()
    torch.manual_seed(0)
    discriminator = build_discriminator(NETWORK, 3, 16, 3)
    assert discriminator is not None
    save_file(build_generator(NETWORK, 3, 16, 3).state_dict(), folder / WEIGHTS)
    save_file(discriminator.state_dict(), folder / DISCRIMINATOR_WEIGHTS)
    card = {"format": FORMAT, "channels": 3, "size": 16, "class_names": ["a", "b", "c"]}
    (folder / CARD).write_text(json.dumps({**card, "network": vars(NETWORK)}))
    return folder


def claim(folder: Path, **network: object) -> None:
    """Let the card speak of another network."""
    card = json.loads((folder / CARD).read_text())
    card["network"] |= network
    (folder / CARD).write_text(json.dumps(card))


def test_an_image_depends_on_its_own_seed_and_label_alone(model: Path) -> None:
    minter = Minter.load(model, device="cpu")
    labels, seeds = np.array([0, 1, 2] * 30), np.arange(90)
    whole = minter.mint(labels, seeds)
    alone = minter.mint(labels[77:78], seeds[77:78])[0]
    # another batch may round the last bit otherwise
    assert np.abs(whole[77].astype(int) - alone).max() <= 1
    assert (whole[77] != minter.mint(labels[77:78], seeds[77:78] + 1)[0]).any()
    assert whole.shape == (90, 16, 16, 3) and whole.dtype == np.uint8


def test_seeds_give_independent_standard_normal_latents(model: Path) -> None:
    latents = Minter.load(model, device="cpu").latents(np.arange(4000))
    assert latents.mean(0).abs().max() < 0.06 and (latents.std(0) - 1).abs().max() < 0.06
    assert (torch.corrcoef(latents.T) - torch.eye(4)).abs().max() < 0.06


def test_the_fingerprint_is_that_of_the_folders_weights(model: Path) -> None:
    first = Minter.load(model, device="cpu").fingerprint
    assert model_fingerprint(model) == first
    weights = load_file(model / WEIGHTS)
    save_file({name: tensor + 1 for name, tensor in weights.items()}, model / WEIGHTS)
    assert Minter.load(model, device="cpu").fingerprint != first


def test_judging_asks_the_discriminator_and_leaves_it_as_it_was(model: Path) -> None:
    minter = Minter.load(model, device="cpu")
    images = minter.mint(np.zeros(70, int), np.arange(70))
    logits = minter.logits(images, np.zeros(70, int))
    assert logits is not None and logits.shape == (70,) and np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (lambda folder: (folder / CARD).unlink(), "found no generator.json"),
        (lambda folder: (folder / CARD).write_text("{"), "is not readable JSON"),
        (lambda folder: (folder / CARD).write_text('{"format": 99}'), "found format 99, needed 1"),
        (lambda folder: claim(folder, width=10**18), "network.width: found 10{18}, needed 4096"),
        (lambda folder: claim(folder, latent="x"), "describes no network"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"no"), "can't be used as this model's"),
        (
            lambda folder: torch.save({"x": print}, folder / WEIGHTS),
            "can't be used as this model's",
        ),
        (lambda folder: os.truncate(folder / WEIGHTS, 900), "can't be used as this model's"),
        (lambda folder: (folder / DISCRIMINATOR_WEIGHTS).unlink(), "can't be used as this model's"),
    ],
)
def test_a_folder_that_holds_no_whole_generator_is_refused(model, broken, sentence: str) -> None:
    broken(model)
    with pytest.raises(ValueError, match=sentence):
        Minter.load(model, device="cpu")


def test_a_label_that_is_no_class_is_refused(model: Path) -> None:
    with pytest.raises(ValueError, match="found 3, needed 0 to 2"):
        Minter.load(model, device="cpu").mint(np.array([0, 3]), np.array([0, 1]))


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
