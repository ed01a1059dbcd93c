"""Sources: each offers what lies there, in a fixed order, whatever the names and links."""

import gzip
import os
import struct

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from remint.images.imagefile import read
from remint.ingest.dead_leaves import DeadLeavesConfig, dead_leaves_source, draw_leaves
from remint.ingest.embedded import digits_source, photos_source
from remint.ingest.folders import folder_source, pairs_source
from remint.ingest.items import Item, Source, SourceError, limited, mixed
from remint.ingest.published import torchvision_source
from remint.ingest.sources import SourceSettings, open_source
from remint.ingest.tables import TableConfig, table_source


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), value).save(path, "PNG")


def names(source):
    return [item.source for item in source.items()]


def test_subfolders_are_classes_and_images_at_the_top_have_none(tmp_path):
    for name in ("dog/b.png", "cat/deep/a.png", "top.png", "cat/.hidden.png", ".git/x.png"):
        picture(tmp_path / name)
    source = folder_source(tmp_path)
    found = {item.source: item.label for item in source.items()}
    assert found == {"cat/deep/a.png": 0, "dog/b.png": 1, "top.png": None}
    assert source.class_names == ["cat", "dog"] and source.count == 3


def test_names_in_any_script_and_of_any_bytes_are_read(tmp_path):
    odd = os.fsdecode(b"\xff\xfe broken.png")
    for name in ("ねこ.png", "صورة.png", "new\nline.png", "é.png", odd):
        picture(tmp_path / name)
    items = list(folder_source(tmp_path).items())
    assert {"ねこ.png", "new\nline.png", "\\xff\\xfe broken.png"} <= {i.source for i in items}
    assert all(read(item.image).shape == (4, 4, 1) for item in items)
    assert all(item.source.encode() for item in items)


def test_a_symlink_loop_ends_and_broken_links_are_named(tmp_path):
    picture(tmp_path / "a" / "one.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "self.png").symlink_to("self.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    found = {item.source: item.problem for item in folder_source(tmp_path).items()}
    assert found["a/one.png"] is None and len(found) == 3
    assert "cannot be opened" in found["self.png"] and "cannot be opened" in found["gone.png"]


def test_a_pipe_is_no_image_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert [i.problem for i in folder_source(tmp_path).items()] == ["is not a regular file"]


def test_an_absent_folder_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"no folder .*nowhere"):
        folder_source(tmp_path / "nowhere")


def test_pairs_are_matched_by_name_and_the_unmatched_are_named(tmp_path):
    both = ("a.png", "deep/b.png")
    for name in (*both, "alone.png", "twice.png", "twice.gif"):
        picture(tmp_path / "clean" / name)
    for name in ("a.jpg", "deep/b.png", "lost.png", "twice.png"):
        picture(tmp_path / "damaged" / name)
    items = {item.source: item for item in pairs_source(tmp_path).items()}
    assert items["clean/a.png"].damaged == tmp_path / "damaged" / "a.jpg"
    assert items["clean/deep/b.png"].problem is None
    assert items["clean/alone.png"].problem == "has no partner in damaged/"
    assert items["damaged/lost.png"].problem == "has no partner in clean/"
    assert "no single partner" in items["clean/twice.gif"].problem


def test_pairs_need_both_folders(tmp_path):
    (tmp_path / "clean").mkdir()
    with pytest.raises(SourceError, match="no folder 'damaged'"):
        pairs_source(tmp_path)


ALL = TableConfig(file="images.csv", path="file", label="kind", group="patient", split="part")


def table(folder, **columns):
    frame = pd.DataFrame(columns)
    frame.to_csv(folder / "images.csv", index=False)
    frame.to_parquet(folder / "images.parquet")


@pytest.mark.parametrize("file", ["images.csv", "images.parquet"])
def test_a_table_gives_labels_groups_and_splits(tmp_path, file):
    labels, parts = [10.0, 9.0, None], ["Train", "validation", None]
    table(tmp_path, file=["a.png", "b.png", "c.png"], kind=labels, patient=[1, 1, 2], part=parts)
    config = TableConfig(file, "file", "kind", "patient", "part")
    source = table_source(tmp_path, config)
    items = list(source.items())
    assert [item.label for item in items][2] is None and source.count == 3
    assert [source.class_names[i.label] for i in items[:2]] == ["10", "9"]
    assert [item.group for item in items] == ["1", "1", "2"]
    assert [item.split for item in items] == ["train", "val", None]
    assert items[0].image == tmp_path / "a.png"


def test_class_numbers_are_sorted_by_value_and_names_as_texts(tmp_path):
    paths = ["a.png", "b.png", "c.png"]
    config = TableConfig("images.parquet", "file", "kind", "", "")
    table(tmp_path, file=paths, kind=[10, 9, 9])
    assert table_source(tmp_path, config).class_names == ["9", "10"]
    table(tmp_path, file=paths, kind=["oak", "ash", "1"])
    assert table_source(tmp_path, config).class_names == ["1", "ash", "oak"]


def test_paths_outside_the_table_folder_are_a_problem_of_their_row(tmp_path):
    table(tmp_path, file=["../a.png", "/etc/a.png", None, "b/../c.png"])
    config = TableConfig("images.csv", "file", "", "", "")
    problems = [item.problem for item in table_source(tmp_path, config).items()]
    assert "outside" in problems[0] and "outside" in problems[1]
    assert "no path" in problems[2] and problems[3] is None


def test_a_link_that_leads_out_of_the_table_folder_is_a_problem_of_its_row(tmp_path):
    picture(tmp_path / "outside" / "a.png")
    picture(tmp_path / "in" / "real" / "b.png")
    (tmp_path / "in" / "sub").symlink_to(tmp_path / "outside")
    (tmp_path / "in" / "near").symlink_to(tmp_path / "in" / "real")
    (tmp_path / "in" / "a.png").symlink_to(tmp_path / "outside" / "a.png")
    table(tmp_path / "in", file=["sub/a.png", "a.png", "near/b.png"])
    config = TableConfig("images.csv", "file", "", "", "")
    problems = [item.problem for item in table_source(tmp_path / "in", config).items()]
    assert "by a link outside" in problems[0] and "by a link outside" in problems[1]
    assert problems[2] is None


def test_a_folder_is_walked_once(tmp_path, monkeypatch):
    picture(tmp_path / "a" / "one.png")
    source = folder_source(tmp_path)
    monkeypatch.setattr(os, "listdir", None)
    assert names(source) == names(source) == ["a/one.png"]


def test_wrong_tables_are_explained(tmp_path):
    with pytest.raises(SourceError, match=r"no table .*images\.csv"):
        table_source(tmp_path, ALL)
    table(tmp_path, file=["a.png"], kind=["x"])
    with pytest.raises(SourceError, match=r"no column 'patient'.*file, kind"):
        table_source(tmp_path, ALL)
    table(tmp_path, file=["a.png"], kind=["x"], patient=["p"], part=["holdout"])
    with pytest.raises(SourceError, match="split 'holdout'"):
        table_source(tmp_path, ALL)


def idx(folder, prefix, count, pack):
    images = struct.pack(">4B3I", 0, 0, 8, 3, count, 2, 3) + bytes(range(6 * count))
    labels = struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(n % 10 for n in range(count))
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (("images-idx3", images), ("labels-idx1", labels)):
        end = ".gz" if pack else ""
        file = folder / f"{prefix}-{name}-ubyte{end}"
        file.write_bytes(gzip.compress(data) if pack else data)


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("below", ["", "FashionMNIST/raw"])
def test_idx_files_are_read_packed_or_not_and_keep_the_test_images_apart(tmp_path, pack, below):
    for prefix, count in (("train", 5), ("t10k", 2)):
        idx(tmp_path / below, prefix, count, pack)
    source = torchvision_source(tmp_path, "FashionMNIST")
    items = list(source.items())
    assert source.count == 7 and source.class_names[9] == "Ankle boot"
    assert items[1].image.tolist() == [[[6], [7], [8]], [[9], [10], [11]]]
    assert [item.split for item in items] == [None] * 5 + ["test"] * 2
    assert all(item.own_test for item in items)


def test_a_broken_idx_file_is_named(tmp_path):
    for prefix in ("train", "t10k"):
        idx(tmp_path, prefix, 3, False)
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(SourceError, match="ends before its last image"):
        list(torchvision_source(tmp_path, "MNIST").items())


def test_a_torchvision_set_with_splits_is_read_by_torchvision(tmp_path, monkeypatch):
    import torchvision.datasets

    class SVHN:
        classes = ("zero", "one")

        def __init__(self, root, split="train", download=False):
            if split not in ("train", "test"):
                raise ValueError("Unknown value for argument split")
            self.rows = 2 if split == "train" else 1

        def __len__(self):
            return self.rows

        def __getitem__(self, row):
            return Image.new("RGB", (4, 4), (row, 0, 0)), row

    monkeypatch.setattr(torchvision.datasets, "SVHN", SVHN)
    source = torchvision_source(tmp_path, "SVHN")
    items = list(source.items())
    assert [item.split for item in items] == [None, None, "test"] and items[1].label == 1
    assert items[1].image.shape == (4, 4, 3) and source.class_names == ["zero", "one"]


def parts_of(lengths, labels=None):
    """A stand-in for a set of torchvision: parts by name and length, labels counted up from 3."""

    class Parts:
        def __init__(self, root, split="train", download=False):
            if split not in lengths:
                raise ValueError("Unknown value for argument split")
            self.rows = lengths[split]
            if labels is not None:
                self.labels = np.array(labels[split])

        def __len__(self):
            return self.rows

        def __getitem__(self, row):
            return Image.new("L", (4, 4), row), 3 + row

    return Parts


@pytest.mark.parametrize("labels", [None, {"train": [3, 4, 5], "test": [3, 4]}])
def test_classes_that_a_torchvision_set_does_not_name_go_by_their_numbers(
    tmp_path, monkeypatch, labels
):
    import torchvision.datasets

    monkeypatch.setattr(torchvision.datasets, "USPS", parts_of({"train": 3, "test": 2}, labels))
    source = torchvision_source(tmp_path, "USPS")
    assert source.class_names == ["0", "1", "2", "3", "4", "5"]
    assert [item.label for item in source.items()] == [3, 4, 5, 3, 4]


@pytest.mark.parametrize(
    ("lengths", "splits"),
    [
        ({"train": 2, "val": 1}, [None, None, "test"]),
        ({"trainval": 2, "test": 1}, [None, None, "test"]),
        ({"train": 1, "trainval": 2, "val": 1, "test": 1}, ["train", "val", "test"]),
    ],
)
def test_whatever_parts_torchvision_has_some_images_are_for_testing(
    tmp_path, monkeypatch, lengths, splits
):
    import torchvision.datasets

    monkeypatch.setattr(torchvision.datasets, "Imagenette", parts_of(lengths))
    items = torchvision_source(tmp_path, "Imagenette").items()
    assert [item.split for item in items] == splits


def test_parts_of_other_names_are_refused(tmp_path, monkeypatch):
    import torchvision.datasets

    monkeypatch.setattr(torchvision.datasets, "Places365", parts_of({"val": 1}))
    with pytest.raises(SourceError, match="no part called train or trainval"):
        torchvision_source(tmp_path, "Places365")


def test_a_set_that_cannot_be_downloaded_is_explained(tmp_path, monkeypatch):
    import torchvision.datasets

    def absent(root, train=True, download=False):
        raise RuntimeError("no route to host" if download else "Dataset not found")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", absent)
    with pytest.raises(SourceError, match=r"not under .*could not be downloaded \(no route"):
        torchvision_source(tmp_path, "CIFAR10")


def test_an_unknown_torchvision_name_gets_a_guess(tmp_path):
    with pytest.raises(SourceError, match="did you mean FashionMNIST"):
        torchvision_source(tmp_path, "FashionMINST")
    with pytest.raises(SourceError, match="from a folder alone"):
        torchvision_source(tmp_path, "ImageFolder")


def test_the_digits_are_5000_labelled_ones_of_28_pixels():
    source = digits_source()
    labels = [item.label for item in source.items()]
    assert source.count == 5000 and np.bincount(labels).tolist() == [500] * 10
    assert next(source.items()).image.shape == (28, 28, 1)


def test_every_photo_is_really_inside_its_wheel():
    source = photos_source()
    items = list(source.items())
    assert len(items) == source.count == 21
    assert all(item.image.is_file() for item in items)
    assert {item.split for item in items} == {"train", "val", "test"}


@pytest.mark.parametrize(("count", "limit"), [(10, 3), (10, 10), (10, 0), (10, 99), (7, 5), (1, 1)])
def test_a_limit_takes_evenly_spaced_items(count, limit):
    items = [Item(str(n), np.zeros((1, 1, 1), np.uint8)) for n in range(count)]
    source = limited(Source(count, lambda: iter(items)), limit)
    found = [int(name) for name in names(source)]
    assert len(found) == source.count == (min(limit, count) or count)
    gaps = np.diff([*found, count + found[0]])
    assert found[0] == 0 and gaps.max() - gaps.min() <= 1


def test_a_class_may_be_called_none_and_a_zero_byte_is_quarantined(tmp_path) -> None:
    (tmp_path / "images.csv").write_text("path,label\na.png,None\nb\0.png,NA\n")
    config = TableConfig("images.csv", "path", "label", "", "")
    source = table_source(tmp_path, config)
    items = list(source.items())
    assert source.class_names == ["NA", "None"]
    assert items[0].problem is None and "zero byte" in (items[1].problem or "")


def test_dead_leaves_depend_on_seed_number_and_side_alone():
    drawn = [item.image() for item in dead_leaves_source(DeadLeavesConfig(3, 48), 7).items()]
    assert all(image.shape == (48, 48, 3) and image.dtype == np.uint8 for image in drawn)
    assert np.array_equal(draw_leaves(48, 7, 2), drawn[2])
    assert not np.array_equal(draw_leaves(48, 8, 2), drawn[2])


def test_dead_leaves_have_natures_spectrum_and_sharp_edges():
    greys = [draw_leaves(128, 1, n).mean(axis=2) for n in range(6)]
    power = sum(np.abs(np.fft.fft2(grey - grey.mean())) ** 2 for grey in greys)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    band = (frequency > 0.02) & (frequency < 0.3)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert -3.8 < slope < -2.0  # photographs: some -2 to -3
    steps = np.abs(np.concatenate([np.diff(grey).ravel() for grey in greys]))
    assert np.median(steps) < 4 and np.quantile(steps, 0.995) > 40  # surfaces, and edges


SETTINGS = SourceSettings(
    TableConfig("images.csv", "path", "", "", ""), "", DeadLeavesConfig(4, 32), 1
)


def test_a_mixture_gives_every_part_and_holds_out_real_images_alone(tmp_path):
    for name in ("cat/a.png", "dog/b.png"):
        picture(tmp_path / name)
    source = open_source(("folder", "photos", "dead_leaves"), tmp_path, SETTINGS)
    items = list(source.items())
    assert len(items) == source.count == 2 + photos_source().count + 4
    assert [i.source for i in items[:2]] == ["folder/cat/a.png", "folder/dog/b.png"]
    assert {i.split for i in items if i.source.startswith("dead_leaves/")} == {"train"}
    assert {i.split for i in open_source("dead_leaves", tmp_path, SETTINGS).items()} == {None}


def test_classes_of_a_mixture_are_joined_by_name():
    def labelled(*classes):
        items = [Item(name, np.zeros((1, 1, 1)), label=n) for n, name in enumerate(classes)]
        return Source(len(items), lambda: iter(items), list(classes))

    source = mixed({"one": labelled("cat", "dog"), "two": labelled("emu", "cat")})
    assert source.class_names == ["cat", "dog", "emu"]
    assert [item.label for item in source.items()] == [0, 1, 2, 0]
    with pytest.raises(SourceError, match="can't be mixed"):
        mixed({"pairs": Source(0, lambda: iter(()), paired=True)})
