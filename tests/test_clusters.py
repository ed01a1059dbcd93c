"""Engines and parts: the same set whoever computes it, and what was made is not made again."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

from remint.core import engines
from remint.core.atomic import resumed_folder
from remint.core.workers import ordered_map
from remint.corruptions import pairs
from remint.corruptions.config import CorruptConfig
from remint.corruptions.pairs import FIELDS, corrupted_records, planned_parts, set_metadata
from remint.images.imagerows import Record, set_schema
from remint.images.imageset import ImageSet
from remint.images.parts import PartMaker, merge
from remint.ingest.census import Census
from remint.ingest.config import IngestConfig
from remint.ingest.ingesting import ingest
from remint.ingest.items import limited
from remint.ingest.sources import open_source
from tasks.stage.params import load

Rows = tuple[pairs.Row, ...]
Records = Callable[[ImageSet, CorruptConfig, Rows], Iterable[Record]]


@pytest.fixture(scope="module")
def digits(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ImageSet]:
    config = replace(load("ingest", IngestConfig, root / "params.yaml"), workers=2)

    def make(engine: str) -> ImageSet:
        target = tmp_path_factory.mktemp("digits") / "clean"
        source = limited(open_source("digits", target, config.settings), 400)
        ingest(source, replace(config, engine=engine), target, Census())
        return ImageSet(target)

    return make


@pytest.fixture(scope="module")
def clean(digits: Callable[[str], ImageSet]) -> ImageSet:
    return digits("local")


@pytest.fixture
def config(root: Path, monkeypatch: pytest.MonkeyPatch) -> CorruptConfig:
    monkeypatch.setattr(pairs, "LEAST_PART", 2**18)
    monkeypatch.setattr(pairs, "PARTS", 8)
    return replace(load("corrupt", CorruptConfig, root / "params.yaml"), workers=2)


def corrupted(
    clean: ImageSet,
    config: CorruptConfig,
    target: Path,
    records: Records = corrupted_records,
    parts: Sequence[Rows] = (),
) -> ImageSet:
    """Make the corrupted set as the stage does; records: what a task calls."""
    schema = set_schema(set_metadata(clean, config), FIELDS)
    maker = PartMaker(resumed_folder(target, "0"), schema, partial(records, clean, config))
    jobs = enumerate(parts or planned_parts(clean, config))
    made = ordered_map(maker, jobs, config.workers, 1, engine=config.engine)
    merge(maker.folder, target, list(made))
    return ImageSet(target)


class Struck:
    """Notes the parts that are begun, and once, in the middle of the third, ends its process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, clean: ImageSet, config: CorruptConfig, rows: Rows) -> Iterator[Record]:
        with (self.folder / "made").open("a") as file:
            file.write(f"{rows[0]}\n")
        records = corrupted_records(clean, config, rows)
        yield next(records)
        if len(self.made()) >= 3:
            with suppress(FileExistsError):
                (self.folder / "struck").touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        yield from records

    def made(self) -> list[str]:
        return (self.folder / "made").read_text().splitlines()


def test_dask_and_processes_give_bit_equal_sets(
    digits: Callable[[str], ImageSet], clean: ImageSet, config: CorruptConfig, tmp_path: Path
) -> None:
    assert digits("dask").fingerprint == clean.fingerprint
    local = corrupted(clean, config, tmp_path / "local")
    dask = corrupted(clean, replace(config, engine="dask"), tmp_path / "dask")
    assert local.fingerprint == dask.fingerprint and len(list(dask.path.iterdir())) > 8


def test_a_worker_that_is_killed_costs_the_part_that_it_was_making(
    clean: ImageSet, config: CorruptConfig, tmp_path: Path
) -> None:
    struck = Struck(tmp_path)
    made = corrupted(clean, replace(config, engine="dask"), tmp_path / "set", struck)
    assert made.fingerprint == corrupted(clean, config, tmp_path / "calm").fingerprint
    assert (tmp_path / "struck").exists()
    assert len(struck.made()) == len(set(struck.made())) + 1


def test_a_killed_run_is_gone_on_with_after_the_parts_that_it_made(
    clean: ImageSet, config: CorruptConfig, tmp_path: Path
) -> None:
    parts = list(planned_parts(clean, config))
    struck, target = Struck(tmp_path), tmp_path / "set"
    one = replace(config, workers=1)
    run = get_context("spawn").Process(target=corrupted, args=(clean, one, target, struck, parts))
    run.start()
    run.join()
    assert run.exitcode == -signal.SIGKILL and not target.exists()
    made = corrupted(clean, one, target, struck, parts)
    assert struck.made() == [str(part[0]) for part in (*parts[:3], *parts[2:])]
    assert made.fingerprint == corrupted(clean, config, tmp_path / "calm").fingerprint


def test_what_was_begun_under_another_key_is_removed(tmp_path: Path) -> None:
    (resumed_folder(tmp_path / "set", "a") / "part-00000.parquet").touch()
    assert not list(resumed_folder(tmp_path / "set", "b").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == [".set.b.parts"]


def test_an_engine_that_is_none_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "SECONDS_TO_ANSWER", 1)
    whole = load("corrupt", CorruptConfig, root / "params.yaml")
    with pytest.raises(ValueError, match=r"engine is 'spark'; needed is local, dask"):
        replace(whole, engine="spark")
    with pytest.raises(ValueError, match="no Dask scheduler answers"):
        list(ordered_map(abs, [1], 1, engine="tcp://127.0.0.1:9"))
