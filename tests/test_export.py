"""Claims about the files of an export: formats, marks, papers, and where it may go."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from remint.classifier.teacher import TeacherConfig
from remint.export.card import PapersConfig
from remint.export.destination import folder_name
from remint.export.export import Summary, export
from remint.export.filters import FILTERS, FilterConfig
from remint.export.marking import SigningConfig
from remint.export.minting import ExportConfig
from remint.export.reals import RealsConfig
from remint.export.writers import MANIFEST, SCORES, ExportedImage
from remint.images import provenance
from remint.images.imagefile import decode_stored
from remint.images.imageset import ImageSet, Record, pixel_id, write

NAMES = ["cat", "dog/wolf", "..", "10"]
UNSIGNED = SigningConfig("", "", "es256")
CONFIG = ExportConfig(
    seed=3,
    device="cpu",
    classes=(),
    per_class=4,
    balance=False,
    attempts=3.0,
    formats=("set", "imagefolder", "webdataset"),
    filters=FilterConfig(1.0, True, None, None, 0.01, 0.01),
    reals=RealsConfig(0.0, TeacherConfig(4, 8, 1e-3, 8, 4, 3, 0.1, "none"), 100),
    shard_megabytes=1,
    c2pa=UNSIGNED,
    papers=PapersConfig("cc0-1.0", "2026-01-31"),
)


class FakeMinter:
    """Noise around a grey level told by the class."""

    size = 12
    fingerprint = "ab" * 16

    def __init__(self, class_names: list[str], channels: int = 1, trained_on: str = "") -> None:
        self.class_names, self.channels = class_names, channels
        self.classes = max(1, len(class_names))
        data = {"data": {"clean": trained_on}} if trained_on else {}
        self.card: dict[str, Any] = {"network": {"name": "conv"}, "images_seen": 1234, **data}

    def mint(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        return np.stack([self.one(int(k), int(s)) for k, s in zip(labels, seeds, strict=True)])

    def one(self, label: int, seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).integers(0, 100, (12, 12, self.channels))
        return (noise + 40 * label).astype(np.uint8)

    def logits(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        return images.mean((1, 2, 3)).astype(np.float32)


class WithoutOne(FakeMinter):
    """Mints blank images of class 1, which the filters reject."""

    def one(self, label: int, seed: int) -> np.ndarray:
        return super().one(label, seed) // (100 if label == 1 else 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    home = tmp_path_factory.mktemp("made")
    clean = clean_set(home / "clean", FakeMinter(NAMES))
    minter = FakeMinter(NAMES, trained_on=clean.fingerprint)
    return home / "out", export(minter, clean, CONFIG, home / "out", [home / "clean"])


def clean_set(path: Path, minter: FakeMinter) -> ImageSet:
    pairs = [(label, 900 + k) for label in range(minter.classes) for k in range(8)]
    images = [(label, minter.one(label, seed)) for label, seed in pairs]
    records = [Record(pixel_id(i), i, "train", f"{n}.png", k) for n, (k, i) in enumerate(images)]
    metadata = {"class_names": minter.class_names, "channels": minter.channels, "created": {}}
    write(path, records, metadata=metadata)
    return ImageSet(path)


def manifest(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "manifest.parquet")


def minted_again(row: Any) -> np.ndarray:
    return FakeMinter(NAMES).one(row.label, row.seed)


def test_the_set_holds_the_wanted_images_with_seed_label_and_scores(
    made: tuple[Path, Summary],
) -> None:
    out, summary = made
    images = ImageSet(out / "set")
    frame = images.frame("train")
    assert (
        frame["label"].value_counts().to_dict() == dict.fromkeys(range(4), 4) and len(images) == 16
    )
    assert images.class_names == NAMES and summary.metrics["images"] == 16
    for row, image in images.images():
        assert (image == FakeMinter(NAMES).one(row["label"], row["seed"])).all()
        assert row["id"] == pixel_id(image) and 0 < row["nearest_ratio"] <= 1


def test_torchvision_reads_the_image_folder(made: tuple[Path, Summary]) -> None:
    from torchvision.datasets import ImageFolder

    folder = ImageFolder(str(made[0] / "imagefolder" / "train"))
    assert sorted(folder.classes) == sorted(["cat", "dog%2Fwolf", "%2E%2E", "10"])
    by_file = manifest(made[0]).set_index("file")
    for path, label in folder.samples:
        row = by_file.loc[str(Path(path).relative_to(made[0]))]
        assert folder.classes[label] == folder_name(row.class_name)
        assert (np.array(Image.open(path)) == minted_again(row)[:, :, 0]).all()
    assert len(folder) == 16


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves them open
def test_webdataset_reads_the_shards(made: tuple[Path, Summary]) -> None:
    import webdataset

    shards = sorted(map(str, (made[0] / "webdataset").glob("*.tar")))
    rows = manifest(made[0]).set_index("key")
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))
    assert len(samples) == 16
    for sample in samples:
        row = rows.loc[sample["__key__"]]
        assert sample["cls"] == row.label and sample["json"]["seed"] == row.seed
        assert (sample["png"][:, :, :1] == minted_again(row)).all()


def test_hugging_face_reads_all_three_formats_and_the_card(
    made: tuple[Path, Summary], tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    loads: Iterable[tuple[str, dict[str, Any]]] = (
        (str(made[0]), {}),
        ("imagefolder", {"data_dir": str(made[0] / "imagefolder")}),
        ("webdataset", {"data_files": str(made[0] / "webdataset" / "*.tar")}),
    )
    for name, options in loads:
        found = datasets.load_dataset(name, split="train", cache_dir=str(tmp_path), **options)
        picture = found[0].get("image") or found[0]["png"]
        assert len(found) == 16 and picture.size == (12, 12)


def test_hugging_face_gives_labels_by_name_with_the_numbers_of_the_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")

    export(WithoutOne(["z", "k", "a"]), None, CONFIG, tmp_path / "out", [])
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"]
    labels = loaded["train"].features["label"]
    assert labels.names == ["z", "k", "a"] and set(loaded["train"]["label"]) == {0, 2}


def test_folders_keep_the_number_of_a_class_without_an_image(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    export(WithoutOne(["a", "b", "c"]), None, CONFIG, tmp_path / "out", [])
    folder = ImageFolder(str(tmp_path / "out/imagefolder/train"), allow_empty=True)
    assert folder.class_to_idx == {"a": 0, "b": 1, "c": 2} and set(folder.targets) == {0, 2}
    assert [file.name for file in (tmp_path / "out/imagefolder/train/b").iterdir()] == [".empty"]


def test_a_day_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="published: found 'soon', needed a day"):
        PapersConfig("unknown", "soon")


def test_the_manifest_tells_hashes_seed_label_model_and_data(made: tuple[Path, Summary]) -> None:
    import hashlib

    out, _ = made
    rows = manifest(out)
    assert list(rows.columns) == MANIFEST.names and len(rows) == 16
    assert set(rows["model"]) == {"ab" * 16}
    assert set(rows["data"]) == {ImageSet(out.parent / "clean").fingerprint}
    for row in rows.itertuples():
        png = (out / row.file).read_bytes()
        assert hashlib.sha256(png).hexdigest() == row.sha256
        assert pixel_id(decode_stored(png)) == row.id


def pngs(out: Path) -> Iterator[bytes]:
    import tarfile

    yield from (path.read_bytes() for path in out.glob("imagefolder/**/*.png"))
    table = pd.read_parquet(out / "set")
    yield from (value["bytes"] for value in table["image"])
    for shard in out.glob("webdataset/*.tar"):
        with tarfile.open(shard) as tar:
            members = [m for m in tar.getmembers() if m.name.endswith(".png")]
            yield from (tar.extractfile(m).read() for m in members)  # type: ignore[union-attr]


def test_every_image_in_every_format_says_that_a_model_made_it(
    made: tuple[Path, Summary], tmp_path: Path
) -> None:
    images = list(pngs(made[0]))
    for data in images:
        (tmp_path / "one.png").write_bytes(data)
        assert provenance.read(tmp_path / "one.png") == provenance.uri("trainedAlgorithmicMedia")
        with Image.open(tmp_path / "one.png") as image:
            image.verify()  # every chunk's checksum
    assert len(images) == 3 * 16


def test_the_card_tells_hugging_face_that_the_images_are_synthetic(
    made: tuple[Path, Summary],
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.DatasetCard.load(made[0] / "README.md")
    assert {"synthetic", "machine-generated"} <= set(card.data.tags)
    assert card.data.size_categories == ["n<1K"]
    assert "1,234 images seen" in card.text and "not a proof of privacy" in card.text
    assert ImageSet(made[0].parent / "clean").fingerprint in card.text


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")  # rdflib, used by mlcroissant
@pytest.mark.filterwarnings("ignore:The inplace keyword")  # pandas, of mlcroissant
@pytest.mark.parametrize("names", [NAMES, []])
def test_mlcroissant_validates_and_reads_the_description(
    names: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="the package mlcroissant is absent")
    config = replace(CONFIG, reals=None)
    export(FakeMinter(names), None, config, tmp_path / "out", [])
    with caplog.at_level(logging.WARNING):
        dataset = mlcroissant.Dataset(jsonld=str(tmp_path / "out" / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors and "not standard" not in caplog.text
    assert not dataset.metadata.ctx.issues.warnings
    rows = manifest(tmp_path / "out").set_index("id")
    records = list(dataset.records("images"))
    for record in records:
        row = rows.loc[record["images/id"].decode()]
        assert record["images/seed"] == row.seed and record["images/image"].size == (12, 12)
    assert len(records) == len(rows) == len(list(dataset.records("manifest")))


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")  # rdflib, used by mlcroissant
@pytest.mark.filterwarnings("ignore:The inplace keyword")  # pandas, of mlcroissant
def test_soft_labels_are_the_classifiers_probabilities_and_named_as_distillation(
    made: tuple[Path, Summary],
) -> None:
    import mlcroissant

    out, summary = made
    frame = ImageSet(out / "set").frame()
    soft = np.stack(list(frame["soft_label"]))
    assert soft.shape == (16, 4) and np.allclose(soft.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(soft[np.arange(16), frame["label"].astype(int)], frame["confidence"])
    dataset = mlcroissant.Dataset(jsonld=str(out / "croissant.json"))
    for record, row in zip(dataset.records("images"), soft, strict=True):
        assert np.allclose(record["images/soft_label"], row)
    assert "distillation" in (out / "README.md").read_text() and "distil" in summary.notes[0]


def test_what_was_rejected_is_kept_with_its_reason(tmp_path: Path) -> None:
    minter = FakeMinter(["a"])
    picky = replace(CONFIG.filters, least_deviation=29.0)
    summary = export(minter, None, replace(CONFIG, filters=picky), tmp_path / "out", [])
    rows = pd.read_csv(tmp_path / "out" / "rejected.csv")
    assert len(rows) == summary.metrics["rejected_validity"] > 0
    assert (rows["value"] < rows["limit"]).all() and set(rows["limit"]) == {29.0}
    assert all(minter.one(0, seed).std() < 29 for seed in rows["seed"])


def test_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        export(FakeMinter(["a", "b"]), None, CONFIG, tmp_path / name, [])
    files = [p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file()]
    assert len(files) > 12
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_only_the_formats_asked_for_are_written_and_shards_split(tmp_path: Path) -> None:
    config = replace(CONFIG, formats=("webdataset",), per_class=1200)
    export(FakeMinter(["a"], channels=3), None, config, tmp_path / "out", [])
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *("webdataset", "manifest.parquet", "rejected.csv", "README.md", "croissant.json"),
    }
    assert len(list((tmp_path / "out" / "webdataset").glob("*.tar"))) > 1
    assert manifest(tmp_path / "out")["file"].isna().all()


def test_an_unlabelled_set_has_no_labels_in_any_format(tmp_path: Path) -> None:
    export(FakeMinter([]), None, CONFIG, tmp_path / "out", [])
    assert ImageSet(tmp_path / "out" / "set").frame()["label"].isna().all()
    assert [p.name for p in (tmp_path / "out" / "imagefolder" / "train").iterdir()] == [
        "unlabelled"
    ]
    assert "unconditional-image-generation" in (tmp_path / "out" / "README.md").read_text()


def test_the_card_says_which_filters_ran_and_whether_copies_were_looked_for(
    made: tuple[Path, Summary], tmp_path: Path
) -> None:
    unfiltered = replace(CONFIG, filters=FilterConfig(None, False, None, None, None, None))
    export(FakeMinter(NAMES), None, unfiltered, tmp_path / "out", [])
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Nobody looked for images that are nearly copies" in card
    assert card.count("not looked for") == len(FILTERS) and "copy check" not in card
    card = (made[0] / "README.md").read_text()
    assert "The filters look for copies" in card and "suspected copies: nearer" in card
    assert card.count("not looked for") == 2  # no confidence, no discriminator


def test_an_export_never_overwrites_and_never_lands_among_data(
    made: tuple[Path, Summary], tmp_path: Path
) -> None:
    minter = FakeMinter(["a"])
    clean = tmp_path / "clean"
    clean_set(clean, minter)
    (tmp_path / "photos").mkdir()
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    for out, words in (
        (taken, "exists already"),
        (taken / "mine.txt", "exists already"),
        (clean / "new", "in one another"),
        (tmp_path / "photos" / "a" / "b", "in one another"),
        (made[0] / "imagefolder" / "train" / "more", "another export"),
        (made[0].parent / "clean" / "new", "a set"),
    ):
        with pytest.raises(ValueError, match=words):
            export(minter, None, CONFIG, out, [clean, tmp_path / "photos"])
    assert (taken / "mine.txt").read_text() == "mine" and not (clean / "new").exists()


def test_a_half_written_export_is_never_visible(tmp_path: Path) -> None:
    def stop(items: Iterable[ExportedImage], total: int) -> Iterator[ExportedImage]:
        yield next(iter(items))
        assert not (tmp_path / "out").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(FakeMinter(["a"]), None, CONFIG, tmp_path / "out", [], stop)
    assert list(tmp_path.iterdir()) == []


def test_two_exports_to_one_place_do_not_swallow_each_other(tmp_path: Path) -> None:
    def other_first(items: Iterable[ExportedImage], total: int) -> Iterator[ExportedImage]:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs").write_text("theirs")
        yield from items

    with pytest.raises(ValueError, match="exists already"):
        export(FakeMinter(["a"]), None, CONFIG, tmp_path / "out", [], other_first)
    assert (tmp_path / "out" / "theirs").read_text() == "theirs"


def test_another_set_than_the_generators_is_refused(tmp_path: Path) -> None:
    minter = FakeMinter(["a"], trained_on="f" * 32)
    clean = clean_set(tmp_path / "clean", minter)
    with pytest.raises(ValueError, match="trained on ffff"):
        export(minter, clean, CONFIG, tmp_path / "out", [])


def test_a_class_of_which_nothing_passes_is_named_and_the_others_are_exported(
    tmp_path: Path,
) -> None:
    summary = export(WithoutOne(["a", "b", "c"]), None, CONFIG, tmp_path / "out", [])
    images = ImageSet(tmp_path / "out" / "set")
    assert images.frame()["label"].value_counts().to_dict() == {0: 4, 2: 4}
    assert images.class_names == ["a", "b", "c"] and summary.metrics["classes_missing"] == 1
    (failure,) = summary.counts.failures()
    assert failure["setting"] == "export_synthetic.filters.least_deviation"
    assert failure["best"] < failure["limit"] == 1.0 and summary.counts.rejected_by_class[1]
    assert failure["text"] in (tmp_path / "out" / "README.md").read_text()


def test_an_export_of_which_nothing_passes_is_an_empty_set_with_its_reasons(tmp_path: Path) -> None:
    blank = replace(CONFIG, filters=replace(CONFIG.filters, least_deviation=200.0))
    summary = export(FakeMinter(["a"]), None, blank, tmp_path / "out", [])
    assert len(ImageSet(tmp_path / "out" / "set")) == summary.metrics["images"] == 0
    assert "No image of a passed" in (tmp_path / "out" / "README.md").read_text()


def test_a_class_with_too_few_images_is_a_note(tmp_path: Path) -> None:
    picky = replace(CONFIG, attempts=1.0, per_class=60)
    picky = replace(picky, filters=replace(CONFIG.filters, least_deviation=29.0))
    summary = export(FakeMinter(["a"]), None, picky, tmp_path / "out", [])
    assert 0 < summary.metrics["images_short"] < 60 and "used up" in summary.notes[-1]
    assert "used up" in (tmp_path / "out" / "README.md").read_text()


@given(st.text(max_size=20), st.text(max_size=20))
def test_class_names_become_folders_that_are_safe_and_differ(one: str, two: str) -> None:
    names = {folder_name(name) for name in (one, two)}
    assert len(names) == len({one, two})
    for name in names:
        assert name not in ("", ".", "..") and not set('/\\\0:*?"<>|') & set(name)


def test_the_set_keeps_every_score_of_the_manifest() -> None:
    assert {field.name for field in SCORES} <= set(MANIFEST.names)
