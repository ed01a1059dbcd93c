"""A disk that fills up: one sentence, the last good state, and no litter."""

import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import torch

from remint.networks.weights import save_network
from remint.training.checkpoint import Checkpoint, CheckpointStore
from tasks.commands import presets
from tests.warm import Warm

LIMIT = 20_000  # bytes that a file may have
STEPS = {
    "ingest": ("data/embedded", "data/clean", "data/reports/ingest"),
    "train_generator": ("data/clean", "data/models/generator"),
    "export_synthetic": ("data/models/generator", "data/clean", "data/synthetic", "data/out"),
}


@contextmanager
def no_file_above(limit: int) -> Iterator[None]:
    """Let every write beyond so many bytes of a file fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def state(size: int) -> Checkpoint:
    return Checkpoint({"weights": torch.arange(float(size))}, {"progress": {}})


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_checkpoint_that_finds_no_room_leaves_the_one_before(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, {"run": 1}, keep=2)
    store.save(100, state(10))
    before = files(tmp_path)
    with no_file_above(LIMIT), pytest.raises(OSError, match=r"large|space|write"):
        store.save(200, state(100_000))
    assert files(tmp_path) == before
    found = store.latest()
    assert found is not None and len(found.tensors["weights"]) == 10


def test_a_checkpoint_on_a_full_disk_leaves_the_one_before(small_disk: Path) -> None:
    store = CheckpointStore(small_disk, {"run": 1}, keep=2)
    store.save(100, state(100_000))
    before = files(small_disk)
    with pytest.raises(OSError, match=r"No space left"):
        store.save(200, state(200_000))
    assert files(small_disk) == before


def test_a_network_that_finds_no_room_leaves_the_one_before(tmp_path: Path) -> None:
    save_network(tmp_path / "best.safetensors", torch.nn.Linear(2, 2))
    before = files(tmp_path)
    with no_file_above(LIMIT), pytest.raises(OSError, match=r"large|space|write"):
        save_network(tmp_path / "best.safetensors", torch.nn.Linear(100, 100))
    assert files(tmp_path) == before


@pytest.mark.slow
def test_ingest_training_and_export_end_with_a_sentence_and_what_was_there(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(root / name, tmp_path)
    (tmp_path / "data/embedded").mkdir(parents=True)
    presets.apply_preset("tiny", tmp_path / "params.yaml")
    with closing(Warm(*(f"tasks.{stage}" for stage in STEPS), "mlflow")) as python:
        for stage, arguments in STEPS.items():
            for there in ("nothing", "the last result"):
                before = files(tmp_path / "data") if there == "the last result" else {}
                code, said = run(python, tmp_path, stage, *arguments, limit=10_240)
                assert code == 1, (stage, there, said[-500:])
                assert [line[:7] for line in said.splitlines()].count("error: ") == 1, said[-500:]
                assert "Traceback" not in said
                after = files(tmp_path / "data")
                assert {path: after.get(path) for path in before} == before, stage
                if there == "nothing":
                    assert run(python, tmp_path, stage, *arguments)[0] == 0


def run(
    python: Warm, folder: Path, stage: str, *arguments: str, limit: int = -1
) -> tuple[int, str]:
    """Run a stage in a folder, with a limit on the size of files; return its end and words."""
    (log := folder / "log").unlink(missing_ok=True)
    python.start([f"tasks.{stage}", *arguments], folder, log, limit)
    return python.status(), log.read_text()
