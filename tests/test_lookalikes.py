"""Near-duplicates: one picture in several files is learnt from or measured on, never both."""

import io
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from remint.images.imageset import ImageSet
from remint.ingest.census import Census
from remint.ingest.dead_leaves import draw_leaves
from remint.ingest.embedded import digits_source
from remint.ingest.ingesting import ingest
from remint.ingest.items import Item, Source
from remint.ingest.lookalikes import near_pairs, thumbnail
from remint.ingest.splits import Shares
from remint.ingest.tables import TableConfig
from tests.test_ingest import CONFIG, run

ENCODINGS = {
    "a.png": {},
    "b.jpg": {"quality": 90},
    "c.jpg": {"quality": 40},
    "d.webp": {"quality": 70},
    "e.png": {"size": (60, 60)},
}


@pytest.fixture(scope="module")
def encodings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write twenty pictures, each in five encodings."""
    folder = tmp_path_factory.mktemp("encodings")
    for number in range(20):
        picture = Image.fromarray(draw_leaves(96, 1, number))
        for name, how in ENCODINGS.items():
            options = dict(how)
            size = options.pop("size", picture.size)
            picture.resize(size).save(folder / f"{number:02}{name}", **options)
    return folder


def splits_a_picture(found: ImageSet) -> list[int]:
    frame = found.frame()
    return list(frame["split"].groupby(frame["source"].str[:2]).nunique())


def test_five_encodings_of_a_picture_share_a_split_and_are_counted(encodings, tmp_path):
    loose, _ = run(encodings, tmp_path / "loose", near_duplicates="ignore")
    found, census = run(encodings, tmp_path / "clean")
    assert max(splits_a_picture(loose)) > 1 and splits_a_picture(found) == [1] * 20
    told = census.statistics([])["near_duplicates"]
    assert (told["groups"], told["pictures"], told["straddling"]) == (20, 100, 0)
    moved = (loose.frame()["split"] != found.frame()["split"]).sum()
    assert told["moved"] == moved > 0 and len(told["examples"][0]) == 5
    counted = {split: census.metrics()[split] for split in ("train", "val", "test")}
    assert counted == {s: len(found.frame(s)) for s in counted}


def test_moving_changes_no_pixel_and_hangs_on_neither_workers_nor_names(encodings, tmp_path):
    loose, _ = run(encodings, tmp_path / "loose", near_duplicates="ignore")
    one, _ = run(encodings, tmp_path / "one", colour="colour")
    two, _ = run(encodings, tmp_path / "two", workers=2, colour="colour")
    assert one.fingerprint == two.fingerprint
    pairs = zip(loose.images(), one.images(), strict=True)
    assert all(a[0]["id"] == b[0]["id"] and np.array_equal(a[1], b[1]) for a, b in pairs)
    (tmp_path / "turned").mkdir()
    for file in encodings.iterdir():
        (tmp_path / "turned" / file.name[::-1]).write_bytes(file.read_bytes())
    turned = run(tmp_path / "turned", tmp_path / "three")[0].frame()
    assert dict(zip(turned["id"], turned["split"], strict=True)) == dict(
        zip(one.frame()["id"], one.frame()["split"], strict=True)
    )


def test_no_digit_of_the_default_set_is_taken_for_another():
    shown = b"".join(thumbnail(item.image) for item in digits_source().items())
    pixels = np.frombuffer(shown, np.uint8).reshape(-1, 256)
    assert len(pixels) == 5000 and not len(near_pairs([pixels]))


def as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0]).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))[:, :, None]


@pytest.mark.parametrize(("quality", "share"), [(50, 0.95), (40, 0.8), (30, 0.4)])
def test_a_digit_of_28_px_is_known_by_its_strong_jpeg_and_taken_for_no_other(quality, share):
    digits = [item.image for item in islice(digits_source().items(), 0, 5000, 10)]
    copies = [as_jpeg(digit, quality) for digit in digits]
    shown = np.frombuffer(b"".join(map(thumbnail, digits + copies)), np.uint8).reshape(-1, 256)
    pairs = near_pairs([shown])
    assert (np.diff(pairs) == 500).all() and len(pairs) >= share * 500


def test_a_print_on_one_of_two_shirts_makes_them_two_pictures():
    shirt = draw_leaves(28, 1, 3)[:, :, :1].copy()
    printed = shirt.copy()
    printed[10:12, 8:11] += np.where(shirt[10:12, 8:11] > 128, -45, 45).astype(np.uint8)
    shown = np.frombuffer(thumbnail(shirt) + thumbnail(printed), np.uint8).reshape(2, 256)
    assert not len(near_pairs([shown]))


def test_pages_with_little_on_them_are_not_taken_for_one_another():
    pages = np.full((15, 160, 120, 1), 255, np.uint8)
    for number, page in enumerate(pages):
        page[10 * number : 10 * number + 3, 20:100] = 60  # one line of text, elsewhere on each
    thumbnails = np.frombuffer(b"".join(map(thumbnail, pages)), np.uint8).reshape(-1, 256)
    assert not len(near_pairs([thumbnails])) and not len(
        near_pairs([np.full((9, 256), 255, np.uint8)])
    )


def test_one_copy_among_sixty_thousand_is_found_in_seconds():
    drawn = np.random.default_rng(0).normal(0, 60, (60_000, 4, 4, 1, 1))
    pixels = np.clip(128 + np.broadcast_to(drawn, (60_000, 4, 4, 4, 4)), 0, 255)
    pixels = pixels.transpose(0, 1, 3, 2, 4).reshape(60_000, 256).astype(np.uint8)
    pixels[41_000] = np.clip(pixels[17].astype(int) + 1, 0, 255)
    start = time.monotonic()
    assert near_pairs([pixels]).tolist() == [[17, 41_000]]
    assert time.monotonic() - start < 40


def test_a_picture_under_two_labels_is_named_with_both(tmp_path):
    for number in range(12):
        save(tmp_path / "in" / "ab"[number % 2] / f"{number}.png", number)
    save(tmp_path / "in" / "b" / "same.png", 4)
    save(tmp_path / "in" / "b" / "like.jpg", 6)
    _, census = run(tmp_path / "in", tmp_path / "clean", shares=Shares(1.0, 0.0, 0.0))
    assert set(census.conflicts) == {
        ("a/4.png (a)", "b/same.png (b)"),
        ("a/6.png (a)", "b/like.jpg (b)"),
    }
    (warning,) = census.warnings()
    assert warning.startswith("2 pictures stand under two labels") and "(a) and b/" in warning


def test_a_class_that_holds_copies_of_others_alone_stops_the_run(tmp_path):
    for number in range(6):
        save(tmp_path / "in" / "a" / f"{number}.png", number)
    save(tmp_path / "in" / "b" / "x.png", 2)
    (tmp_path / "in" / "b" / "bad.png").write_bytes(b"")
    words = r"Class 'b' is left without an image: of its 2 files 1 .* 1 cannot.*b/x.png \(b\)"
    with pytest.raises(ValueError, match=words):
        run(tmp_path / "in", tmp_path / "clean", shares=Shares(1.0, 0.0, 0.0))
    assert not (tmp_path / "clean").exists()


def test_splits_that_a_table_names_stand_and_what_straddles_them_is_said(encodings, tmp_path):
    rows = ["path,part"]
    for number in range(20):
        parts = ("train", "test") if number == 0 else ("test", "") if number == 1 else ("", "")
        for name, part in zip(("a.png", "b.jpg"), parts, strict=True):
            rows.append(f"{number:02}{name},{part}")
    table = encodings / "images.csv"
    table.write_text("\n".join(rows))
    columns = TableConfig(table.name, "path", "", "", "part")
    found, census = run(encodings, tmp_path / "clean", source="table", table=columns)
    splits = dict(zip(found.frame()["source"], found.frame()["split"], strict=True))
    assert (splits["00a.png"], splits["00b.jpg"]) == ("train", "test")
    assert splits["01a.png"] == splits["01b.jpg"] == "test" and census.near.straddling == 1
    assert any("names their splits itself" in warning for warning in census.warnings())


def test_published_test_images_are_not_joined_by_training_images_that_look_the_same(tmp_path):
    items = [Item(str(n), draw_leaves(32, 1, n), own_test=True) for n in range(40)]
    copy = np.clip(items[0].image.astype(int) + 1, 0, 255).astype(np.uint8)
    items.append(Item("t", copy, split="test", own_test=True))
    census = Census()
    config = replace(CONFIG, shares=Shares(0.7, 0.15, 0.15))
    ingest(Source(41, lambda: iter(items)), config, tmp_path / "clean", census)
    frame = ImageSet(tmp_path / "clean").frame("test")
    assert list(frame["source"]) == ["t"] and census.near.straddling == 1


def save(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_leaves(64, 2, number)).save(path)
