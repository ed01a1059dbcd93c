"""Image sets on disk: what is written comes back, whole, lazily, and readable by others."""

import pickle
import re
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from remint.images.imageset import (
    IMAGE,
    SCHEMA_VERSION,
    ImageSet,
    ImageSetError,
    Record,
    encode,
    pixel_id,
    write,
)

IMAGES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])).flatmap(
    lambda shape: arrays(np.uint8, shape)
)
RECORDS = st.builds(
    Record,
    id=st.text(st.characters(codec="utf-8"), max_size=8),
    image=IMAGES,
    split=st.sampled_from(["train", "val", "test"]),
    source=st.text(st.characters(codec="utf-8"), max_size=8),
    label=st.none() | st.integers(0, 2**31 - 1),
)


def grey_records(count):
    rng = np.random.default_rng(5)
    for row in range(count):
        image = rng.integers(0, 256, (6, 5, 1), dtype=np.uint8)
        split = ("train", "val", "test")[row % 3]
        yield Record(pixel_id(image), image, split, f"{row}.png", label=row % 4 or None)


@given(st.lists(RECORDS, max_size=12))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_written_comes_back_exactly(tmp_path: Path, records):
    assert write(tmp_path / "set", records, metadata={"channels": 3}) == len(records)
    found = ImageSet(tmp_path / "set")
    assert len(found) == len(records)
    for position, ((row, image), record) in enumerate(zip(found.images(), records, strict=True)):
        assert np.array_equal(image, record.image) and image.shape == record.image.shape
        assert (row["id"], row["split"]) == (record.id, record.split)
        assert (row["source"], row["label"]) == (record.source, record.label)
        assert (row["height"], row["width"], row["channels"]) == image.shape
        assert row["position"] == position
        assert np.array_equal(found.at(position)[1], image)


def test_rows_stream_in_order_over_many_shards_and_row_groups(tmp_path):
    records = list(grey_records(600))
    write(tmp_path / "set", records, metadata={}, shard_bytes=30_000)
    found = ImageSet(tmp_path / "set")
    assert len(list((tmp_path / "set").iterdir())) > 1
    assert [row["source"] for row, _ in found.images()] == [r.source for r in records]
    assert [row["position"] for row, _ in found.images("val")] == list(range(1, 600, 3))
    assert np.array_equal(found.at(599)[1], records[599].image)


def test_the_frame_has_every_column_but_pixels_and_finds_rows_again(tmp_path):
    records = list(grey_records(30))
    write(tmp_path / "set", records, metadata={})
    found = ImageSet(tmp_path / "set")
    frame = found.frame("test")
    assert list(frame["position"]) == list(range(2, 30, 3)) and "image" not in frame
    assert frame["label"].isna().sum() == sum(r.label is None for r in records[2::3])
    assert found.at(int(frame["position"].iloc[3]))[0]["id"] == frame["id"].iloc[3]


def test_masks_come_back_as_hw_and_other_extra_images_as_hwc(tmp_path):
    image = np.full((4, 6, 1), 9, np.uint8)
    extra = {"mask": image[:, :, 0], "damaged": image, "kind": "holes"}
    fields = [pa.field("mask", IMAGE), pa.field("damaged", IMAGE), pa.field("kind", pa.string())]
    empty = {"mask": None, "damaged": None, "kind": None}
    records = [Record(str(n), image, "val", "", extra=e) for n, e in enumerate((extra, empty))]
    write(tmp_path / "set", records, metadata={}, extra_fields=fields)
    (row, _), (blank, _) = ImageSet(tmp_path / "set").images()
    assert row["mask"].shape == (4, 6) and row["damaged"].shape == (4, 6, 1)
    assert row["kind"] == "holes" and blank["mask"] is None and blank["kind"] is None


def test_hugging_face_datasets_decodes_the_images(tmp_path):
    records = list(grey_records(40))
    fields = [pa.field("mask", IMAGE)]
    masked = [
        Record(r.id, r.image, r.split, r.source, extra={"mask": r.image[:, :, 0]}) for r in records
    ]
    write(tmp_path / "set", masked, metadata={}, extra_fields=fields)
    files = str(tmp_path / "set" / "*.parquet")
    cache = str(tmp_path / "cache")
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
    assert isinstance(loaded.features["image"], datasets.Image)
    assert np.array_equal(np.array(loaded[7]["image"]), records[7].image[:, :, 0])
    assert np.array_equal(np.array(loaded[7]["mask"]), records[7].image[:, :, 0])
    assert loaded[7]["id"] == records[7].id and len(loaded) == 40


def test_a_split_alone_is_read_as_the_readme_says(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "data/clean", grey_records(40), metadata={}, shard_bytes=2_000)
    (said,) = re.findall(r"`load_dataset\((.*filters.*?)\)`", (root / "README.md").read_text())
    text = said.replace("data/clean", f"{tmp_path}/data/clean")
    load = partial(datasets.load_dataset, cache_dir=str(tmp_path / "cache"))
    found = eval(f"load({text})", {"load": load})
    assert list(found) == ["test"] and len(found["test"]) == 13
    assert set(found["test"]["split"]) == {"test"}


def test_pandas_reads_the_folder_as_one_table(tmp_path):
    write(tmp_path / "set", grey_records(600), metadata={}, shard_bytes=30_000)
    table = pd.read_parquet(tmp_path / "set")
    assert len(table) == 600 and table["image"].iloc[0]["bytes"].startswith(b"\x89PNG")
    assert list(table["source"]) == [f"{row}.png" for row in range(600)]


def test_metadata_and_class_names_come_back_with_the_schema_version(tmp_path):
    write(tmp_path / "set", [], metadata={"class_names": ["猫", "dog"], "channels": 1})
    found = ImageSet(tmp_path / "set")
    assert found.class_names == ["猫", "dog"] and found.metadata["schema_version"] == SCHEMA_VERSION
    assert len(found) == 0 and list(found.images()) == [] and found.frame().empty


def test_the_fingerprint_follows_the_content(tmp_path):
    for name, count in (("a", 50), ("b", 50), ("c", 49)):
        write(tmp_path / name, grey_records(count), metadata={})
    a, b, c = (ImageSet(tmp_path / name).fingerprint for name in "abc")
    assert a == b != c


def test_records_encoded_beforehand_give_the_same_set(tmp_path):
    write(tmp_path / "a", grey_records(20), metadata={})
    write(tmp_path / "b", map(encode, grey_records(20)), metadata={})
    assert ImageSet(tmp_path / "a").fingerprint == ImageSet(tmp_path / "b").fingerprint


def test_a_set_survives_pickling_for_workers(tmp_path):
    write(tmp_path / "set", grey_records(20), metadata={})
    found = ImageSet(tmp_path / "set")
    found.at(3)
    copy = pickle.loads(pickle.dumps(found))
    assert np.array_equal(copy.at(3)[1], found.at(3)[1])


def test_a_failing_writer_leaves_the_old_set_and_no_litter(tmp_path):
    write(tmp_path / "set", grey_records(5), metadata={})

    def failing():
        yield from grey_records(300)
        raise RuntimeError("the disk is on fire")

    with pytest.raises(RuntimeError):
        write(tmp_path / "set", failing(), metadata={})
    assert len(ImageSet(tmp_path / "set")) == 5
    assert [found.name for found in tmp_path.iterdir()] == ["set"]


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    left = tmp_path / ".set.4194999.partial"  # above the largest process id
    left.mkdir()
    write(tmp_path / "set", grey_records(5), metadata={})
    assert not left.exists()


def test_rows_outside_the_set_are_an_index_error(tmp_path):
    write(tmp_path / "set", grey_records(3), metadata={})
    for position in (-1, 3):
        with pytest.raises(IndexError):
            ImageSet(tmp_path / "set").at(position)


def test_an_absent_or_empty_folder_is_named(tmp_path):
    with pytest.raises(ImageSetError, match=r"no image set at .*nowhere"):
        ImageSet(tmp_path / "nowhere")
    with pytest.raises(ImageSetError, match="no part-"):
        ImageSet(tmp_path)


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_missing_shard_is_noticed(tmp_path, which):
    write(tmp_path / "set", grey_records(900), metadata={}, shard_bytes=10_000)
    sorted((tmp_path / "set").glob("part-*.parquet"))[which].unlink()
    with pytest.raises(ImageSetError, match="shard is missing"):
        ImageSet(tmp_path / "set")


def test_a_newer_schema_is_refused(tmp_path):
    write(tmp_path / "set", grey_records(3), metadata={})
    shard = tmp_path / "set" / "part-00000.parquet"
    table = pq.read_table(shard)
    newer = table.schema.metadata | {b"remint": b'{"schema_version": 99}'}
    pq.write_table(table.replace_schema_metadata(newer), shard)
    with pytest.raises(ImageSetError, match=r"version 99.*update Remint"):
        ImageSet(tmp_path / "set")


def test_parquet_of_somebody_else_is_refused(tmp_path):
    pq.write_table(pa.table({"id": [1]}), tmp_path / "part-00000.parquet")
    with pytest.raises(ImageSetError, match="none of Remint's"):
        ImageSet(tmp_path)


@pytest.mark.parametrize("place", [1000, -1])
def test_a_flipped_byte_in_the_pixels_or_at_the_end_is_noticed(tmp_path, place):
    write(tmp_path / "set", grey_records(200), metadata={})
    shard = tmp_path / "set" / "part-00000.parquet"
    data = bytearray(shard.read_bytes())
    data[place] ^= 0xFF
    shard.write_bytes(data)
    with pytest.raises(ImageSetError, match="is broken"):
        list(ImageSet(tmp_path / "set").images())


def test_a_flipped_byte_in_a_label_is_noticed_in_the_frame(tmp_path):
    write(tmp_path / "set", grey_records(200), metadata={})
    shard = tmp_path / "set" / "part-00000.parquet"
    place = pq.read_metadata(shard).row_group(0).column(3)  # after image.bytes and image.path
    data = bytearray(shard.read_bytes())
    data[place.data_page_offset + place.total_compressed_size // 2] ^= 0xFF
    shard.write_bytes(data)
    with pytest.raises(ImageSetError, match="is broken"):
        ImageSet(tmp_path / "set").frame()


def test_a_truncated_shard_is_noticed(tmp_path):
    write(tmp_path / "set", grey_records(200), metadata={})
    shard = tmp_path / "set" / "part-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(ImageSetError, match=r"part-00000\.parquet is broken"):
        ImageSet(tmp_path / "set")


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": np.zeros((4, 4), np.uint8)},
        {"image": np.zeros((4, 4, 3), np.float32)},
        {"image": np.zeros((4, 4, 4), np.uint8)},
        {"image": np.zeros((0, 4, 1), np.uint8)},
        {"split": "validation"},
        {"extra": {"undeclared": 1}},
    ],
)
def test_records_that_do_not_fit_are_refused(tmp_path, wrong):
    good = {"id": "a", "image": np.zeros((4, 4, 1), np.uint8), "split": "val", "source": "a"}
    with pytest.raises(ImageSetError, match="Record a"):
        write(tmp_path / "set", [Record(**good | wrong)], metadata={})
    assert not (tmp_path / "set").exists()


def test_the_pixel_id_depends_on_pixels_and_shape_alone():
    image = np.arange(24, dtype=np.uint8).reshape(4, 6, 1)
    assert pixel_id(image) == pixel_id(image[::-1][::-1]) and len(pixel_id(image)) == 32
    assert pixel_id(image) != pixel_id(image.reshape(6, 4, 1))
    assert pixel_id(image) != pixel_id(image ^ 1)
