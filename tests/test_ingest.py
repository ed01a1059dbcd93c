"""Ingest: the same set whatever the workers, and a word on everything that is not in it."""

import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from remint.images import imagefile
from remint.images.fitting import picture_of
from remint.images.imageset import ImageSet
from remint.ingest.census import Census
from remint.ingest.config import IngestConfig
from remint.ingest.dead_leaves import DeadLeavesConfig
from remint.ingest.ingesting import channel_count, ingest
from remint.ingest.items import Item, Source, without
from remint.ingest.scenes import PairsConfig
from remint.ingest.sources import open_source
from remint.ingest.splits import Shares
from remint.ingest.tables import TableConfig

TABLE = TableConfig("images.csv", "path", "", "", "")
CONFIG = IngestConfig(
    source="folder",
    path="",
    name="",
    table=TABLE,
    dead_leaves=DeadLeavesConfig(0, 32),
    pairs=PairsConfig(0.0, 2, "quarantine"),
    leave_out=(),
    longest=0,
    fit="keep",
    size=8,
    colour="auto",
    background=255,
    max_pixels=10_000,
    shares=Shares(0.7, 0.15, 0.15),
    seed=1,
    near_duplicates="group",
    limit=0,
    max_bad_share=0.5,
    workers=1,
    engine="local",
    shard_megabytes=1,
)
ONLY_TRAIN = Shares(1.0, 0.0, 0.0)


def pixels(seed, height=12, width=10, channels=3):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (height, width, channels), dtype=np.uint8)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagefile.encode_png(image))


def run(folder, target, **changes):
    config = replace(CONFIG, **changes)
    census = Census()
    ingest(open_source(config.source, folder, config.settings), config, target, census)
    return ImageSet(target), census


@pytest.fixture
def photos(tmp_path):
    for seed in range(60):
        save(tmp_path / "photos" / "ab"[seed % 2] / f"{seed}.png", pixels(seed))
    return tmp_path / "photos"


def test_every_image_is_kept_with_label_source_and_pixels(photos, tmp_path):
    found, _ = run(photos, tmp_path / "clean")
    rows = {row["source"]: (row, image) for row, image in found.images()}
    assert len(rows) == 60 and found.class_names == ["a", "b"]
    for seed in range(60):
        row, image = rows[f"{'ab'[seed % 2]}/{seed}.png"]
        assert row["label"] == seed % 2 and np.array_equal(image, pixels(seed))


def test_the_set_is_the_same_for_one_worker_and_for_two(photos, tmp_path):
    one, _ = run(photos, tmp_path / "one", workers=1)
    two, _ = run(photos, tmp_path / "two", workers=2)
    assert one.fingerprint == two.fingerprint


def test_ids_and_splits_survive_renames_and_growth(photos, tmp_path):
    before = {r["id"]: r["split"] for r, _ in run(photos, tmp_path / "before")[0].images()}
    os.rename(photos / "a", photos / "zebra")
    for seed in range(100, 140):
        save(photos / f"{seed}.png", pixels(seed))
    after = {r["id"]: r["split"] for r, _ in run(photos, tmp_path / "after")[0].images()}
    assert len(after) == 100 and before.items() <= after.items()


def test_exact_duplicates_are_dropped_and_counted(photos, tmp_path):
    Image.fromarray(pixels(3)).save(photos / "again.bmp")
    found, census = run(photos, tmp_path / "clean")
    assert len(found) == 60 and census.metrics()["duplicates"] == 1


def test_bad_files_stand_in_quarantine_and_the_others_are_kept(photos, tmp_path):
    (photos / "empty.png").write_bytes(b"")
    (photos / "letter.png").write_text("dear all")
    whole = (photos / "a" / "0.png").read_bytes()
    (photos / "half.png").write_bytes(whole[: len(whole) // 2])
    save(photos / "bomb.png", pixels(1, 200, 200))
    (photos / "loop.png").symlink_to("loop.png")
    found, census = run(photos, tmp_path / "clean")
    reasons = dict(census.quarantine)
    assert len(found) == 60 and len(reasons) == 5 == census.metrics()["quarantined"]
    assert "empty" in reasons["empty.png"] and "known format" in reasons["letter.png"]
    assert "truncated" in reasons["half.png"] and "limit" in reasons["bomb.png"]
    assert "cannot be opened" in reasons["loop.png"]


def test_too_many_bad_files_stop_the_run_and_leave_nothing(photos, tmp_path):
    (photos / "empty.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 61 .*max_bad_share 0\.01.*empty\.png is empty"):
        run(photos, tmp_path / "clean", max_bad_share=0.01)
    assert not (tmp_path / "clean").exists()


def test_a_split_that_stays_empty_and_a_source_without_images_are_explained(tmp_path):
    save(tmp_path / "few" / "a.png", pixels(0))
    with pytest.raises(ValueError, match="No image fell into"):
        run(tmp_path / "few", tmp_path / "clean")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="holds no image"):
        run(tmp_path / "none", tmp_path / "clean")


def test_auto_is_colour_as_soon_as_one_readable_file_stores_colour(tmp_path):
    for seed in range(3):
        save(tmp_path / "in" / f"{seed}.png", pixels(seed, channels=1))
    (tmp_path / "in" / "bad.png").write_bytes(b"no image")
    grey, _ = run(tmp_path / "in", tmp_path / "grey", shares=ONLY_TRAIN)
    save(tmp_path / "in" / "colour.png", pixels(9))
    colour, _ = run(tmp_path / "in", tmp_path / "colour", shares=ONLY_TRAIN)
    assert grey.metadata["channels"] == 1 and colour.metadata["channels"] == 3
    assert {image.shape[2] for _, image in colour.images()} == {3}


def test_grey_and_colour_settings_bring_a_mixed_folder_to_one_form(tmp_path):
    save(tmp_path / "in" / "grey.png", pixels(0, channels=1))
    save(tmp_path / "in" / "colour.png", pixels(1))
    for colour, channels in (("grey", 1), ("colour", 3)):
        found, _ = run(tmp_path / "in", tmp_path / colour, colour=colour, shares=ONLY_TRAIN)
        assert {image.shape[2] for _, image in found.images()} == {channels}


def test_the_tiles_of_one_picture_share_a_split_and_name_their_place(tmp_path):
    for seed in range(30):
        save(tmp_path / "in" / f"{seed}.png", pixels(seed, 17, 25))
    found, _ = run(tmp_path / "in", tmp_path / "clean", fit="tiles", size=8)
    frame = found.frame()
    picture = frame["source"].str.partition("#")[0]
    assert len(frame) == 30 * 6 and (frame.groupby(picture)["split"].nunique() == 1).all()
    assert frame["source"][0] == "0.png#xywh=0,0,8,8"


def test_pictures_smaller_than_a_tile_are_quarantined(tmp_path):
    for seed in range(3):
        save(tmp_path / "in" / f"{seed}.png", pixels(seed, 8 if seed else 4, 9))
    _, census = run(tmp_path / "in", tmp_path / "clean", fit="tiles", shares=ONLY_TRAIN)
    assert census.quarantine == [("0.png", "is 9 x 4 pixels, smaller than a tile of 8")]


def test_groups_of_a_table_never_straddle_splits_and_its_own_splits_stand(tmp_path):
    rows = [("path", "who", "part")]
    for seed in range(90):
        save(tmp_path / "in" / f"{seed}.png", pixels(seed))
        rows.append((f"{seed}.png", f"p{seed % 30}", "test" if seed >= 80 else ""))
    (tmp_path / "in" / "images.csv").write_text("\n".join(",".join(row) for row in rows))
    table = TableConfig("images.csv", "path", "", "who", "part")
    found, _ = run(tmp_path / "in", tmp_path / "clean", source="table", table=table)
    frame = found.frame()
    seed = frame["source"].str.removesuffix(".png").astype(int)
    assert set(frame["split"][seed >= 80]) == {"test"}
    rest = frame[seed < 80]
    assert (rest.groupby(seed[seed < 80] % 30)["split"].nunique() == 1).all()


def test_real_pairs_keep_both_halves_in_register(tmp_path):
    for seed in range(4):
        save(tmp_path / "in" / "clean" / f"{seed}.png", pixels(seed))
        save(tmp_path / "in" / "damaged" / f"{seed}.png", pixels(seed) // 2)
    save(tmp_path / "in" / "clean" / "odd.png", pixels(7))
    save(tmp_path / "in" / "damaged" / "odd.png", pixels(7, 5, 5))
    changes = {"source": "pairs", "fit": "tiles", "size": 5, "shares": ONLY_TRAIN}
    found, census = run(tmp_path / "in", tmp_path / "clean", **changes)
    rows = list(found.images())
    assert len(rows) == 16 and all(np.array_equal(r["damaged"], image // 2) for r, image in rows)
    assert "differ in size (10 x 12 and 5 x 5)" in dict(census.quarantine)["clean/odd.png"]


def test_many_tiles_of_one_picture_are_said_to_be_no_test_set(tmp_path):
    for seed in range(3):
        save(tmp_path / "in" / f"{seed}.png", pixels(seed))
    save(tmp_path / "single" / "0.png", pixels(0))
    changes = {"source": "folder", "fit": "tiles", "size": 5, "shares": Shares(0.0, 0.0, 1.0)}
    _, census = run(tmp_path / "in", tmp_path / "many", **changes)
    assert census.metrics()["pictures_test"] == 3 and not list(census.warnings())
    _, census = run(tmp_path / "single", tmp_path / "one", **changes)
    (warning,) = census.warnings()
    assert warning.startswith(
        "the 4 images of test are of one picture or group, which is no test set"
    )


def test_one_clean_image_with_two_damaged_versions_is_two_pairs_in_one_split(tmp_path):
    for seed in range(20):
        for version in "ab":
            save(tmp_path / "in" / "clean" / f"{seed}{version}.png", pixels(seed))
            save(tmp_path / "in" / "damaged" / f"{seed}{version}.png", pixels(seed + ord(version)))
    frame = run(tmp_path / "in", tmp_path / "clean", source="pairs")[0].frame()
    assert frame["id"].nunique() == 40
    number = frame["source"].str.extract(r"(\d+)")[0]
    assert (frame.groupby(number)["split"].nunique() == 1).all()


def test_images_of_a_published_training_part_go_to_train_and_val_only(tmp_path):
    items = [Item(str(n), pixels(n), own_test=True) for n in range(80)]
    items += [Item(f"t{n}", pixels(100 + n), split="test", own_test=True) for n in range(5)]
    ingest(Source(85, lambda: iter(items)), CONFIG, tmp_path / "clean", Census())
    frame = ImageSet(tmp_path / "clean").frame()
    assert set(frame["source"][frame["split"] == "test"]) == {f"t{n}" for n in range(5)}
    assert 5 <= (frame["split"] == "val").sum() <= 30


def test_statistics_are_those_of_the_pixels(photos, tmp_path):
    found, census = run(photos, tmp_path / "clean")
    everything = np.stack([image for _, image in found.images()]).astype(float)
    told = census.statistics(found.class_names)
    assert told["mean"] == pytest.approx(everything.mean(axis=(0, 1, 2)))
    assert told["std"] == pytest.approx(everything.std(axis=(0, 1, 2)))
    assert sum(told["class_counts"]["a"].values()) == 30
    assert told["sizes"]["height"] == {"min": 12, "max": 12, "mean": 12}


def test_a_published_set_needs_its_name():
    with pytest.raises(ValueError, match="such as name: FashionMNIST"):
        replace(CONFIG, source="torchvision")


def test_auto_needs_no_decoding(tmp_path):
    save(tmp_path / "a.png", pixels(0))
    broken = (tmp_path / "a.png").read_bytes()[:60]
    (tmp_path / "a.png").write_bytes(broken)
    assert channel_count(open_source("folder", tmp_path, CONFIG.settings), CONFIG) == 3


def test_a_mixture_with_dead_leaves_is_ingested_the_same_by_one_worker_and_by_two(photos, tmp_path):
    mixture = {"source": ("folder", "dead_leaves"), "dead_leaves": DeadLeavesConfig(5, 32)}
    one, census = run(photos, tmp_path / "one", workers=1, **mixture)
    two, _ = run(photos, tmp_path / "two", workers=2, **mixture)
    assert one.fingerprint == two.fingerprint and one.metadata["channels"] == 3
    drawn = [row for row, _ in one.images() if row["source"].startswith("dead_leaves/")]
    assert len(drawn) == 5 and {row["split"] for row in drawn} == {"train"}
    assert not census.quarantine


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": ("folder", "folder")}, "once each"),
        ({"source": ()}, "name one kind"),
        ({"source": ("folder", "dead_leaves")}, "dead_leaves.images is 0"),
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        replace(CONFIG, **change)


def test_the_refusal_of_small_files_names_the_fit_and_the_size(tmp_path):
    for seed in range(6):
        save(tmp_path / "in" / f"{seed}.png", pixels(seed, 5 if seed else 9, 9))
    words = r"5 of 6 .*5 are too small for their tiles: let ingest\.fit pad or resize.*ingest\.size"
    with pytest.raises(ValueError, match=words):
        run(tmp_path / "in", tmp_path / "clean", fit="tiles", shares=ONLY_TRAIN)


def test_what_is_left_out_by_name_is_not_taken_and_not_counted(photos):
    source = open_source("folder", photos, CONFIG.settings)
    kept = without(source, ["a/*", "b/1.png"])
    names = [item.source for item in kept.items()]
    assert kept.count == len(names) == 29
    assert all(name.startswith("b/") for name in names) and "b/1.png" not in names


def test_a_larger_image_is_reduced_to_the_longest_side_and_a_smaller_one_kept(photos, tmp_path):
    save(photos / "a" / "large.png", pixels(99, 30, 60))
    clean, _ = run(photos, tmp_path / "clean", longest=20)
    assert {image.shape[:2] for _, image in clean.images()} == {(12, 10), (10, 20)}


def test_a_picture_taken_at_several_sizes_is_one_picture_of_one_split(photos, tmp_path):
    save(photos / "a" / "large.png", pixels(99, 32, 64))
    sizes = {"longest": (0, 32), "fit": "tiles", "size": 8}
    clean, census = run(photos, tmp_path / "clean", **sizes)
    rows = [row for row, _ in clean.images() if row["source"].startswith("a/large.png")]
    assert len(rows) == 4 * 8 + 2 * 4 and len({row["split"] for row in rows}) == 1
    assert {picture_of(row["source"]) for row in rows} == {"a/large.png"}
    assert census.pictures.counts().total() == 61
    alone, _ = run(photos, tmp_path / "alone", **{**sizes, "longest": 0})
    splits = {row["id"]: row["split"] for row, _ in clean.images()}
    assert all(splits[row["id"]] == row["split"] for row, _ in alone.images())


def test_sizes_that_say_the_same_twice_or_nothing_are_refused():
    for sizes in ((), (8, 8)):
        with pytest.raises(ValueError, match="name one size, or several once each"):
            replace(CONFIG, longest=sizes)
