"""Parts of an evaluation: what was restored and measured is not done again, unless it must be."""

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from remint.images.imageset import ImageSet, Record
from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.restorer import Restorer, save_weights
from remint.restorer_evaluation import parts
from remint.restorer_evaluation.evaluation import EvaluateRestorerConfig, Row, evaluate
from tasks import evaluate_restorer
from tests.test_evaluate_restorer import CONFIG, folder, model, quiet_tracking, run_stage

__all__ = ["folder", "model", "quiet_tracking"]
pytestmark = pytest.mark.usefixtures("quiet_tracking")
PART_ROWS = 8  # two batches of four: four parts of 32 rows
VICTIM = 17  # the second row of the third part


class Noting:
    """Measures rows and notes how many are begun; `end` is called at the row VICTIM."""

    def __init__(self, folder: Path, end: Callable[[], None] = lambda: None) -> None:
        self.noted, self.end = folder / "noted", end

    def __call__(self, restorer: Any, rows: Any, *given: Any) -> Iterator[tuple[Record, Row]]:
        return evaluate(restorer, map(self.note, rows), *given)

    def note(self, row: Any) -> Any:
        with self.noted.open("a") as file:
            file.write(f"{row[0]['id']}\n")
        if len(self.noted.read_text().split()) == VICTIM + 1:
            self.end()
        return row

    def since(self) -> list[str]:
        """Return the ids of the rows measured since this was asked last."""
        told = self.noted.read_text().split() if self.noted.exists() else []
        self.noted.unlink(missing_ok=True)
        return told


def killed(noting: Noting, *given: Any) -> None:
    """Run the stage in a process of its own, small parts and all."""
    parts.PART_ROWS = PART_ROWS
    evaluate_restorer.evaluate = noting
    run_stage(*given)


def end_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def noting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Noting:
    noting = Noting(tmp_path)
    monkeypatch.setattr(parts, "PART_ROWS", PART_ROWS)
    monkeypatch.setattr(evaluate_restorer, "evaluate", noting)
    return noting


@pytest.fixture
def interrupted(folder: Path, model: Path, tmp_path: Path, noting: Noting) -> Callable[..., None]:
    """Return what runs the stage until two parts are made and one is begun."""

    def run(config: EvaluateRestorerConfig = CONFIG) -> None:
        noting.end = interrupt
        with suppress(KeyboardInterrupt):
            run_stage(folder, model, tmp_path, config)
        noting.end = lambda: None

    return run


def ids(folder: Path) -> list[str]:
    return list(ImageSet(folder / "corrupted").frame("test")["id"])


def made(folder: Path) -> list[Path]:
    return sorted(folder.glob(".restored.pairs.*.parts/*.parquet"))


def outcome(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all that the stage leaves; nothing of it is hidden."""
    files = [path for name in ("report", "restored") for path in (folder / name).rglob("*")]
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.is_file()}


def calm(folder: Path, model: Path, out: Path) -> dict[str, bytes]:
    (out / "calm").mkdir()
    run_stage(folder, model, out / "calm")
    return outcome(out / "calm")


def test_a_killed_evaluation_goes_on_after_the_parts_that_it_made(
    folder: Path, model: Path, tmp_path: Path, noting: Noting
) -> None:
    given = Noting(tmp_path, end_process), folder, model, tmp_path
    process = get_context("spawn").Process(target=killed, args=given)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not (tmp_path / "restored").exists()
    assert noting.since() == ids(folder)[: VICTIM + 1] and len(made(tmp_path)) == 2
    run_stage(folder, model, tmp_path)
    assert noting.since() == ids(folder)[2 * PART_ROWS :]
    assert outcome(tmp_path) == calm(folder, model, tmp_path)


def test_an_evaluation_that_ended_while_it_drew_restores_nothing_again(
    folder: Path, model: Path, tmp_path: Path, noting: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr(evaluate_restorer, "write_gallery", lambda *_: exec("raise OSError('full')"))
        run_stage(folder, model, tmp_path)
    assert noting.since() == ids(folder) and not (tmp_path / "report").exists()
    run_stage(folder, model, tmp_path, dataclasses.replace(CONFIG, gallery=1))
    assert not noting.since() and (tmp_path / "report").exists() and outcome(tmp_path)


def test_a_flipped_bit_costs_its_part(
    folder: Path, model: Path, tmp_path: Path, noting: Noting, interrupted: Callable[..., None]
) -> None:
    interrupted()
    noting.since()
    _, second = made(tmp_path)
    data = bytearray(second.read_bytes())
    data[len(data) // 3] ^= 1
    second.write_bytes(data)
    run_stage(folder, model, tmp_path)
    assert noting.since() == ids(folder)[PART_ROWS:]
    assert outcome(tmp_path) == calm(folder, model, tmp_path)


def test_parts_of_another_model_or_of_other_settings_are_never_used_and_go(
    folder: Path, model: Path, tmp_path: Path, noting: Noting, interrupted: Callable[..., None]
) -> None:
    interrupted()
    noting.since()
    interrupted(dataclasses.replace(CONFIG, tuning_images=1))
    assert noting.since() == ids(folder)[: VICTIM + 1] and len(made(tmp_path)) == 2
    torch.manual_seed(1)
    save_weights(model, "fidelity", build_network(NetworkConfig("dncnn", 4, (1,), 1, 1, 3), 1))
    run_stage(folder, model, tmp_path)
    assert noting.since() == ids(folder)
    assert outcome(tmp_path) == calm(folder, model, tmp_path)


def test_all_that_decides_a_part_names_its_folder(folder: Path, model: Path) -> None:
    clean, corrupted = ImageSet(folder / "clean"), ImageSet(folder / "corrupted")
    restorer, named = Restorer.load(model, device="cpu"), set()
    for sets in ((clean, corrupted), (clean, clean), (corrupted, corrupted)):
        for config in (CONFIG, dataclasses.replace(CONFIG, batch=5)):
            for measured in ((False, False), (False, True)):
                named.add(parts.work_of(restorer, *sets, config, measured))
    assert len(named) == 12
    drawn = dataclasses.replace(CONFIG, seed=1, gallery=5, resamples=500)
    assert parts.work_of(restorer, clean, corrupted, drawn, (False, False)) in named


def test_parts_are_whole_batches_of_one_size_and_photographs_lie_alone(folder: Path) -> None:
    corrupted = ImageSet(folder / "corrupted")
    planned = list(parts.planned_parts(corrupted, dataclasses.replace(CONFIG, batch=3)))
    assert np.concatenate([part.ids for part in planned]).tolist() == ids(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_BYTES", 24 * 24 * 4)
        patch.setattr(parts, "PART_ROWS", 100)
        for changes, sizes in (
            ({"batch": 3}, {6, 2}),
            ({"batch": 30, "tile": 512}, {30, 2}),
            ({"batch": 30, "tile": 64}, {7, 4}),  # of 4,096 px at most
            ({"batch": 30, "tile": 20}, {4}),
        ):
            config = dataclasses.replace(CONFIG, **changes)
            assert {len(p.ids) for p in parts.planned_parts(corrupted, config)} == sizes
