"""Claims about the one training loop: exact resumption, roll-back, budgets, processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from remint.core.device import resolved
from remint.corruptions.pairs import FIELDS
from remint.images import imageset
from remint.images.imageset import ImageSet, Record
from remint.restorer.data import DataConfig, NoiseConfig, PairSource
from remint.restorer.doubt_training import DoubtConfig
from remint.restorer.networks.catalogue import DiscriminatorConfig, NetworkConfig
from remint.restorer.objective import RestorationLossConfig
from remint.restorer.rounds import batches
from remint.restorer.train import Report, StageConfig, TrainRestorerConfig, train_restorer
from remint.training.checkpoint import CheckpointError, network_settings
from remint.training.health import Diverged, HealthConfig, HealthMonitor
from remint.training.loop import Interrupted
from remint.training.objective import LoopConfig
from remint.training.optimisers import OptimiserConfig
from remint.training.schedule import Budget
from remint.training.starting import StartConfig
from tests.warm import Warm

OPTIMISER = OptimiserConfig(1e-3, 1e-5, (0.9, 0.99), 0.99, 0.0, None, 0.0)
CONFIG = TrainRestorerConfig(
    seed=3,
    device="cpu",
    precision="fp32",
    threads=1,
    compile=False,
    start=StartConfig("none", True),
    network=NetworkConfig("nafnet", 8, (1,), 1, 2, 2),
    discriminator=DiscriminatorConfig("patchgan", 4, True),
    data=DataConfig(8, None, "none", None, 0, 0.5, 0.0),
    loss=RestorationLossConfig("charbonnier", 1.0, "features", 1.0, 0.1, "relativistic", 0.5, 2),
    fidelity=StageConfig(Budget(64, None), OPTIMISER),
    adversarial=StageConfig(Budget(64, None), OPTIMISER),
    loop=LoopConfig(1, 1.0, 50, 16, 1000, 16, 2, HealthConfig(10.0, 1e6, 0.9, None, 1, 0.5)),
    default_interpolation=0.5,
    doubt=None,
    validation_images=0,
)
FIDELITY_ONLY = replace(CONFIG, adversarial=None, default_interpolation=0.0)
CHILD = "tests.training_child"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_sets(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a whole run on the same sets leaves, to be read only."""
    folder = tmp_path_factory.mktemp("trained")
    write_sets(folder / "data")
    train(CONFIG, folder / "data", folder / "run")
    return folder / "run"


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(trained_once, tmp_path / "run"))


@pytest.fixture(scope="module")
def python() -> Iterator[Warm]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        warm = Warm("tests.test_training")
    with closing(warm):
        yield warm


def write_sets(folder: Path, size: int = 24, paired: bool = False, draws: int = 1) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (size, size, 1), dtype=np.uint8) for _ in range(20)]
    clean = [Record(imageset.pixel_id(i), i, "train", f"{n}.png") for n, i in enumerate(images)]
    fields = [pa.field("damaged", imageset.IMAGE)] if paired else []
    if paired:
        clean = [replace(record, extra={"damaged": record.image // 2}) for record in clean]
    made = {"class_names": [], "channels": 1}
    imageset.write(folder / "clean", clean, metadata=made, extra_fields=fields)
    meta = {
        "class_names": [],
        "channels": 1,
        "seed": 0,
        "clean_fingerprint": ImageSet(folder / "clean").fingerprint,
        "training": {"draws": draws, "steps": []},
    }
    extra = {"kind": "mixed", "severity": 0, "recipe": "[]", "mask": None}
    damaged = [
        Record(f"{r.id}.mixed", r.image // 2, "train", r.source, extra={"clean_id": r.id, **extra})
        for r in clean
    ]
    imageset.write(folder / "corrupted", damaged, metadata=meta, extra_fields=FIELDS)


def sets(folder: Path) -> tuple[ImageSet, ImageSet]:
    return ImageSet(folder / "clean"), ImageSet(folder / "corrupted")


def train(config: TrainRestorerConfig, data: Path, out: Path, stop=lambda: None) -> list[Report]:
    return list(train_restorer(config, *sets(data), out, stop))


def last_state(stage: Path) -> dict[str, torch.Tensor]:
    newest = max(p for p in stage.iterdir() if p.name.isdigit())
    return load_file(newest / "state.safetensors")


def assert_close(one: Path, other: Path) -> None:
    a, b = last_state(one), last_state(other)
    names = [name for name in a if name.startswith("generator.")]
    assert names and all(torch.allclose(a[name], b[name], atol=1e-4) for name in names)


def test_training_learns(data: Path, tmp_path: Path) -> None:
    fast = replace(OPTIMISER, rate=1e-2)
    config = replace(FIDELITY_ONLY, fidelity=StageConfig(Budget(800, None), fast))
    reports = train(config, data, tmp_path / "run")
    losses = [report.progress.losses["fidelity_loss"] for report in reports]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.2])
def test_a_killed_run_ends_bit_identical(
    trained_once: Path, data: Path, tmp_path: Path, python: Warm, delay: float
) -> None:
    out = tmp_path / "killed"
    process = python.start([CHILD, str(data), str(out)], tmp_path, tmp_path / "log")
    while not list(out.glob("*/0*16")) and not python.ended_within(0.005):
        pass
    if not python.ended_within(delay):
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(process, signal.SIGKILL)
    assert python.status() in (0, -signal.SIGKILL)
    train(CONFIG, data, out)
    whole, killed = (last_state(run / "adversarial") for run in (trained_once, out))
    assert whole.keys() == killed.keys() and all(torch.equal(whole[n], killed[n]) for n in whole)


def test_a_run_that_is_asked_to_stop_saves_itself_first(data: Path, tmp_path: Path) -> None:
    rounds = iter(range(100))
    with pytest.raises(Interrupted, match="image 32 and saved"):
        train(CONFIG, data, tmp_path / "run", lambda: "enough" if next(rounds) == 3 else None)
    assert (tmp_path / "run/fidelity/000000000032/state.json").exists()


def test_another_configuration_is_refused_and_named(data: Path, trained: Path) -> None:
    with pytest.raises(CheckpointError, match=r"train_restorer.seed was 3 and is 4"):
        train(replace(CONFIG, seed=4), data, trained)


def test_other_data_is_refused_and_named(tmp_path: Path, trained: Path) -> None:
    write_sets(tmp_path / "other", size=32)
    with pytest.raises(CheckpointError, match=r"data.clean was"):
        train(CONFIG, tmp_path / "other", trained)


def test_operational_settings_may_change(data: Path, trained: Path) -> None:
    other = replace(CONFIG, loop=replace(CONFIG.loop, log_every=8, keep=5))
    assert train(other, data, trained)[-1].progress.finished


def test_a_run_whose_memory_was_full_goes_on_in_more_parts(
    trained_once: Path, data: Path, tmp_path: Path
) -> None:
    rounds = iter(range(100))
    with pytest.raises(Interrupted):
        train(CONFIG, data, tmp_path, lambda: "full" if next(rounds) == 3 else None)
    parts = replace(CONFIG, loop=replace(CONFIG.loop, accumulate=4))
    train(parts, data, tmp_path)
    assert_close(trained_once / "fidelity", tmp_path / "fidelity")


def test_a_run_from_when_parts_could_not_change_goes_on(data: Path, trained: Path) -> None:
    for facts in trained.glob("fidelity/*/state.json"):
        kept = json.loads(facts.read_text())
        kept["identity"]["train_restorer"]["loop"]["accumulate"] = 1
        facts.write_text(json.dumps(kept))
    assert train(CONFIG, data, trained)[-1].progress.finished


def test_what_came_later_changes_no_run_s_identity_until_it_is_used() -> None:
    plain = replace(CONFIG.network, name="plain_unet")
    assert not {"sharpening", "leak"} & set(network_settings(plain))
    assert network_settings(replace(plain, sharpening=4))["sharpening"] == 4
    assert network_settings(replace(plain, leak=0.1))["leak"] == 0.1
    assert network_settings(plain)["width"] == plain.width


def test_parts_may_not_change_where_batch_norm_sees_them(data: Path, tmp_path: Path) -> None:
    normed = replace(CONFIG, discriminator=DiscriminatorConfig("article", 4, True))
    train(normed, data, tmp_path)
    parts = replace(normed, loop=replace(CONFIG.loop, accumulate=4))
    with pytest.raises(CheckpointError, match="accumulate was 1 and is 4"):
        train(parts, data, tmp_path)


@pytest.mark.parametrize(("name", "precision"), [("nafnet", "fp32"), ("plain_unet", "bf16")])
def test_the_map_of_doubt_is_taught_in_the_precision_of_use(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, precision: str
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": True})
    monkeypatch.setattr("remint.restorer.train._no_doubt", lambda *_: {})  # whatever val holds
    network = replace(CONFIG.network, name=name)
    config = replace(CONFIG, network=network, precision="auto", doubt=DoubtConfig(16, 0.5))
    last = train(config, data, tmp_path)[-1]
    assert last.doubt is not None and last.restorer.precision == precision


def test_a_truncated_checkpoint_is_named(data: Path, trained: Path) -> None:
    path = trained / "fidelity/000000000064/state.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="can't be read"):
        train(CONFIG, data, trained)


def test_a_flipped_bit_in_a_checkpoint_is_found(data: Path, trained: Path) -> None:
    path = trained / "fidelity/000000000064/state.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1  # the last value's weight hardly changes
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is not what was written"):
        train(CONFIG, data, trained)


def test_a_run_goes_on_in_the_precision_in_which_it_began(data: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, precision="auto")
    train(replace(config, precision=resolved(torch.device("cpu"), "auto")), data, tmp_path / "run")
    assert train(config, data, tmp_path / "run")[-1].restorer.card["precision"] != "auto"
    other = {"fp32": "bf16", "bf16": "fp32"}[resolved(torch.device("cpu"), "auto")]
    with pytest.raises(CheckpointError, match=r"train_restorer\.precision was"):
        train(replace(config, precision=other), data, tmp_path / "run")


def test_only_the_last_checkpoints_stay(trained_once: Path) -> None:
    assert [int(p.name) for p in sorted((trained_once / "fidelity").iterdir())] == [48, 64]


def test_divergence_goes_back_once_then_stops_with_a_sentence(data: Path, tmp_path: Path) -> None:
    wild = replace(OPTIMISER, rate=1e18, rate_end=1e18)
    config = replace(CONFIG, fidelity=StageConfig(Budget(64, None), wild))
    notes = []
    with pytest.raises(Diverged, match=r"diverged at image .*lower the rate"):
        for report in train_restorer(config, *sets(data), tmp_path / "run"):
            notes.append(report.progress.note)
    assert [n for n in notes if n and "back to image 0" in n and "0.5 times" in n]
    state = last_state(tmp_path / "run/fidelity")
    assert all(torch.isfinite(t).all() for t in state.values() if t.is_floating_point())


def test_a_limit_on_the_discriminator_wants_a_stage_that_has_one(
    data: Path, tmp_path: Path
) -> None:
    health = replace(CONFIG.loop.health, accuracy_limit=0.99)
    loop = replace(CONFIG.loop, health=health)
    assert train(replace(CONFIG, loop=loop), data, tmp_path / "both")[-1].progress.finished
    with pytest.raises(ValueError, match=r"accuracy_limit: found 0.99.*never act"):
        train(replace(FIDELITY_ONLY, loop=loop), data, tmp_path / "one")


def test_the_round_s_number_travels_with_the_batch(data: Path) -> None:
    source = PairSource(*sets(data), CONFIG.data, 0)
    assert [batch.round for batch, _ in zip(batches(source, 40), range(3), strict=False)] == [
        5,
        6,
        7,
    ]


def test_parts_of_a_batch_add_up_to_the_whole(
    trained_once: Path, data: Path, tmp_path: Path
) -> None:
    parts = replace(CONFIG, loop=replace(CONFIG.loop, accumulate=4))
    train(parts, data, tmp_path / "four")
    assert_close(trained_once / "fidelity", tmp_path / "four/fidelity")


def test_two_processes_train_as_one(
    trained_once: Path, data: Path, tmp_path: Path, root: Path
) -> None:
    """Within 1e-4: sums are taken in another order, and the optimiser magnifies that a little."""
    launcher = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", CHILD)
    command = [sys.executable, "-m", *launcher, str(data), str(tmp_path / "two")]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    assert subprocess.run(command, env=environment).returncode == 0
    assert_close(trained_once / "adversarial", tmp_path / "two/adversarial")


def test_a_budget_of_minutes_ends_a_run(data: Path, tmp_path: Path) -> None:
    short = StageConfig(Budget(None, 0.02), OPTIMISER)
    config = replace(FIDELITY_ONLY, fidelity=short)
    last = train(config, data, tmp_path / "run")[-1].progress
    assert last.finished and 0.02 <= last.minutes < 0.2


@pytest.mark.parametrize("memory_share", [0.0, 0.5])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_way_of_reading_changes_no_pixel(data: Path, memory_share: float, workers: int) -> None:
    config = DataConfig(8, 9, "dihedral", None, workers, memory_share, 0.0)
    plain = PairSource(*sets(data), replace(config, workers=0, memory_share=0.5), 0)
    source = PairSource(*sets(data), config, 0)
    for k, got in zip((40, 48, 56), batches(source, 40), strict=False):
        damaged, clean = plain[np.arange(k, k + 8)]
        assert torch.equal(got.damaged, damaged) and torch.equal(got.clean, clean)


def test_crops_of_a_pair_show_the_same_place(data: Path) -> None:
    source = PairSource(*sets(data), DataConfig(8, 9, "dihedral", None, 0, 0.5, 0.0), 0)
    damaged, clean = source[np.arange(8)]
    pixels = ((clean + 1) * 127.5).round()
    torch.testing.assert_close(((damaged + 1) * 127.5).round(), (pixels / 2).floor())


def test_an_epoch_shows_every_image_once(data: Path) -> None:
    source = PairSource(*sets(data), DataConfig(20, None, "none", None, 0, 0.5, 0.0), 0)
    first, second = source[np.arange(20)][1], source[np.arange(20, 40)][1]
    assert len(torch.unique(first.flatten(1), dim=0)) == 20
    assert not torch.equal(first, second)


def test_detail_shows_images_in_proportion_to_it_however_they_are_read(data: Path) -> None:
    config = DataConfig(20, None, "none", None, 0, 0.5, 2.0)
    source = PairSource(*sets(data), config, 0)
    deviations = np.array([max(float(image.std()), 4.0) for image in source.stacks[1]])
    drawn = np.concatenate([source._order(epoch) for epoch in range(400)])
    found = np.bincount(drawn, minlength=len(source)) / len(drawn)
    np.testing.assert_allclose(found, deviations**2 / (deviations**2).sum(), atol=0.01)
    unread = PairSource(*sets(data), replace(config, memory_share=0.0), 0)
    assert torch.equal(unread[np.arange(20)][1], source[np.arange(20)][1])


def test_unclipped_noise_has_its_sigma_and_leaves_the_range(data: Path) -> None:
    source = PairSource(
        *sets(data), DataConfig(20, None, "none", NoiseConfig((50.0, 50.0), 1.0), 0, 0.5, 0.0), 0
    )
    damaged, clean = source[np.arange(20)]
    assert abs((damaged - clean).std().item() * 127.5 - 50) < 2
    assert damaged.max() > 1 and damaged.min() < -1


def test_a_share_of_the_crops_gets_plain_noise_and_the_rest_the_sets_damage(data: Path) -> None:
    noise = NoiseConfig((0.0, 90.0), 0.4)
    source = PairSource(*sets(data), DataConfig(20, None, "none", noise, 0, 0.5, 0.0), 0)
    damaged, clean = source[np.arange(200)]
    halved = ((damaged + 1) * 127.5).round() == (((clean + 1) * 127.5).round() / 2).floor()
    of_the_set = halved.flatten(1).all(dim=1)
    assert 0.5 < of_the_set.float().mean() < 0.7
    sigmas = (damaged - clean)[~of_the_set].flatten(1).std(dim=1) * 127.5
    assert sigmas.min() < 15 and 75 < sigmas.max() < 100


def test_noise_whose_range_is_upside_down_is_refused() -> None:
    with pytest.raises(ValueError, match="needed the lower one first"):
        NoiseConfig((50.0, 10.0), 1.0)


def test_a_corrupted_set_of_other_images_is_refused(data: Path, tmp_path: Path) -> None:
    write_sets(tmp_path / "other", size=32)
    with pytest.raises(ValueError, match="run the corrupt stage again"):
        PairSource(ImageSet(tmp_path / "other/clean"), sets(data)[1], CONFIG.data, 0)


def test_a_patch_larger_than_an_image_is_refused(data: Path) -> None:
    with pytest.raises(ValueError, match=r"patch.*24 px"):
        PairSource(*sets(data), replace(CONFIG.data, patch=48), 0)


def test_a_run_that_went_back_once_still_ends_whole(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms = iter([None] * 5 + ["a passing upset"])
    monkeypatch.setattr(HealthMonitor, "check", lambda self, values: next(alarms, None))
    reports = train(FIDELITY_ONLY, data, tmp_path / "run")
    notes = [report.progress.note for report in reports]
    assert sum(note is not None for note in notes) == 1 and notes[-1] is None
    last = reports[-1].progress
    assert last.finished and last.images == 64 and last.rate_scale == 0.5 and last.rollbacks == 1


def test_parts_that_are_not_equal_are_refused(data: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, loop=replace(CONFIG.loop, accumulate=3))
    with pytest.raises(ValueError, match="needed a divisor"):
        train(config, data, tmp_path / "run")


def test_real_pairs_are_read_and_never_drawn(tmp_path: Path) -> None:
    write_sets(tmp_path, paired=True, draws=0)
    damaged, clean = PairSource(*sets(tmp_path), CONFIG.data, 0)[np.arange(8)]
    assert not torch.equal(damaged, clean)
