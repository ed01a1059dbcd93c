"""Parts of an ingest: what was made ready is not made again, unless it would come out otherwise."""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from remint.images.imagefile import encode_png
from remint.images.imageset import ImageSet
from remint.ingest import ingesting
from remint.ingest.census import Census
from remint.ingest.config import IngestConfig
from remint.ingest.dead_leaves import draw_leaves
from remint.ingest.items import Item, Source
from remint.ingest.parts import planned_parts, read_part
from remint.ingest.preparing import Prepared, prepare
from remint.ingest.sources import open_source
from tests.test_ingest import CONFIG, pixels

FILES = 60  # in parts of eight, the last of four
VICTIM = "20.png"  # the fifth of the third part


class Noting:
    """Makes items ready and notes which; strikes: once, at VICTIM, it ends its process."""

    def __init__(self, folder: Path, strikes: bool = False) -> None:
        self.folder, self.strikes = folder, strikes

    def __call__(self, item: Item, config: IngestConfig, channels: int) -> Prepared:
        with (self.folder / "noted").open("a") as file:
            file.write(f"{item.source}\n")
        if self.strikes and item.source == VICTIM:
            with suppress(FileExistsError):
                (self.folder / "struck").touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        return prepare(item, config, channels)

    def since(self) -> list[str]:
        """Return the items made ready since this was asked last."""
        noted = self.folder / "noted"
        told = noted.read_text().split() if noted.exists() else []
        noted.unlink(missing_ok=True)
        return told


Ingest = Callable[..., str]


def names(start: int, stop: int) -> list[str]:
    return [f"{number:02}.png" for number in range(start, stop)]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(names(0, FILES)):
        (tmp_path / "photos" / name).write_bytes(encode_png(pixels(number)))
    return tmp_path / "photos"


def ingested(making: Noting, folder: Path, target: Path, **changes: object) -> str:
    """Ingest and return the set's fingerprint and what was told of it."""
    ingesting.prepare = making  # also in a process of its own
    config, census = replace(CONFIG, **changes), Census()
    source = open_source("folder", folder, config.settings)
    ingesting.ingest(source, config, target, census)
    return f"{ImageSet(target).fingerprint} {census.statistics([])} {census.quarantine}"


@pytest.fixture
def noting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Noting:
    monkeypatch.setattr(ingesting, "prepare", prepare)  # puts it back in the end
    return Noting(tmp_path)


@pytest.fixture
def run(noting: Noting, photos: Path, tmp_path: Path) -> Ingest:
    return partial(ingested, noting, photos, tmp_path / "set")


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob(".set.items.*.parts/*"))


def first_part(folder: Path) -> Path:
    return next(part for part in parts(folder) if next(read_part(part)).source == "00.png")


def refused(run: Ingest, noting: Noting, **changes: object) -> list[Path]:
    """Ingest a folder with something that is no image, of which none may be; return the parts."""
    with pytest.raises(ValueError, match="cannot be used"):
        run(max_bad_share=0.0, **changes)
    noting.since()
    return parts(noting.folder)


def test_a_second_ingest_into_a_set_that_is_being_made_is_refused_and_the_first_ends_well(
    photos: Path, tmp_path: Path, noting: Noting
) -> None:
    source = open_source("folder", photos, CONFIG.settings)

    def interfering(items: Iterable[Prepared]) -> Iterable[Prepared]:
        with pytest.raises(ValueError, match="is being made by another process"):
            ingesting.ingest(source, CONFIG, tmp_path / "set", Census())
        return items

    assert ingesting.ingest(source, CONFIG, tmp_path / "set", Census(), interfering) == FILES


def test_equal_stretches_of_a_table_are_parts_of_their_own() -> None:
    items = [Item("same", pixels(0))] * 64
    planned = list(planned_parts(Source(len(items), lambda: iter(items))))
    assert len({part.name for part in planned}) == len(planned) == 8


def test_a_killed_ingest_goes_on_after_the_parts_that_it_made(
    photos: Path, tmp_path: Path, run: Ingest, noting: Noting
) -> None:
    process = get_context("spawn").Process(
        target=ingested, args=(Noting(tmp_path, strikes=True), photos, tmp_path / "set")
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not (tmp_path / "set").exists()
    assert noting.since() == names(0, 21) and len(parts(tmp_path)) == 3  # one is half-written
    told = run()
    assert noting.since() == names(16, FILES) and not parts(tmp_path)
    assert told == ingested(noting, photos, tmp_path / "calm")


def test_a_worker_that_is_killed_costs_the_items_of_its_part(
    photos: Path, tmp_path: Path, run: Ingest, noting: Noting
) -> None:
    noting.strikes = True
    told = run(engine="dask", workers=2)
    assert (tmp_path / "struck").exists()
    assert sorted(noting.since()) == sorted(names(0, FILES) + names(16, 21))
    assert told == ingested(noting, photos, tmp_path / "calm")


def test_a_file_that_changed_between_two_starts_is_read_anew(
    photos: Path, tmp_path: Path, run: Ingest, noting: Noting
) -> None:
    (photos / "59.png").write_bytes(b"no image")
    refused(run, noting)
    (photos / "59.png").write_bytes(encode_png(pixels(59)))
    before = (photos / VICTIM).stat()
    data = bytearray((photos / VICTIM).read_bytes())
    data[-30] ^= 1  # of the same size, and of the same date: broken now
    (photos / VICTIM).write_bytes(data)
    os.utime(photos / VICTIM, ns=(before.st_atime_ns, before.st_mtime_ns))
    told = run()
    assert noting.since() == names(16, 24) + names(56, FILES) and VICTIM in told
    assert told == ingested(noting, photos, tmp_path / "calm")


@pytest.mark.parametrize("harm", ["cut", "emptied", "flipped", "no end"])
def test_a_part_that_is_not_right_is_made_again(
    photos: Path, run: Ingest, noting: Noting, harm: str
) -> None:
    (photos / "59.png").write_bytes(b"no image")
    refused(run, noting)
    part = first_part(noting.folder)
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    cut = {"cut": data[: len(data) // 2], "emptied": b"", "flipped": data, "no end": data[:-1]}
    part.write_bytes(cut[harm])
    run()
    assert noting.since() == names(0, 8)


def test_what_the_disk_refused_once_is_tried_again(
    photos: Path, tmp_path: Path, run: Ingest, noting: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        opened = Path.open

        def refusing(path: Path, *given: str, **named: str) -> object:
            if path.name == VICTIM:
                raise PermissionError(13, "Permission denied")
            return opened(path, *given, **named)

        patch.setattr(Path, "open", refusing)
        refused(run, noting)
    run()
    assert noting.since() == names(16, 24) and len(ImageSet(tmp_path / "set")) == FILES


def test_settings_that_decide_an_image_begin_anew_and_others_do_not(
    photos: Path, run: Ingest, noting: Noting
) -> None:
    (photos / "59.png").write_bytes(b"no image")
    first = refused(run, noting)
    assert refused(run, noting, workers=2, shard_megabytes=2) == first
    assert not set(refused(run, noting, background=0)) & set(first)
    run(background=0, max_bad_share=0.5)
    assert not noting.since() and not parts(noting.folder)


def test_what_is_drawn_or_in_hand_is_known_by_what_decides_it() -> None:
    def named(image: object, label: int = 0) -> str:
        source = Source(1, lambda: iter([Item("one", image, label)]))
        return next(planned_parts(source)).name

    images = [pixels(1), pixels(2), *(partial(draw_leaves, side, 1, 1) for side in (16, 32))]
    images += [Path("absent.png"), Path("missing.png"), Path("no\0path")]
    assert len({named(image) for image in images}) == len(images)
    assert named(pixels(1)) == named(pixels(1)) != named(pixels(1), label=1)
    assert named(partial(draw_leaves, 16, 1, 1)) == named(images[2])


def test_parts_hold_what_memory_can_and_follow_from_the_source_alone() -> None:
    image = np.zeros((600, 600, 3), np.uint8)
    large = Source(10**6, lambda: (Item(str(n), image) for n in range(6)))
    small = Source(10**6, lambda: (Item(str(n), image[:2, :2]) for n in range(600)))
    assert [len(part.items) for part in planned_parts(large)] == [2, 2, 2]
    assert [len(part.items) for part in planned_parts(small)] == [256, 256, 88]
