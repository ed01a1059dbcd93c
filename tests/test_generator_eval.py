"""Claims about the evaluation of generators, on small images of digits and made-up generators."""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from remint.classifier.train import ClassifierConfig
from remint.generator.generator import CARD, FORMAT, WEIGHTS
from remint.generator.networks.catalogue import GeneratorConfig, build_generator
from remint.generator_evaluation.classes import ClassSample, class_notes, class_rows
from remint.generator_evaluation.pictures import Shown, interpolation, slerp
from remint.generator_evaluation.scoring import (
    EvaluateGeneratorConfig,
    GeneratorGalleryConfig,
    Mint,
    minted,
    read_reals,
    seeds_for,
)
from remint.images.imagefile import decode
from remint.images.imageset import ImageSet, Record, pixel_id, write
from remint.metrics import published
from tasks import evaluate_generator
from tasks.evaluate_generator import evaluate, sentence
from tasks.figures.generator import Measured, Yardstick, images_a_second, network_calls, sheets

CONFIG = EvaluateGeneratorConfig(
    seed=0,
    device="cpu",
    published_weights="present",
    images=200,
    classifier_images=500,
    images_per_class=40,
    search_images=300,
    training_images=2000,
    classifier=ClassifierConfig(steps=100, batch=64, rate=1e-2, width=12, augment="none"),
    gallery=GeneratorGalleryConfig(columns=4, steps=3, classes=3),
    cache="set by the fixture",
)
NAMES = [str(digit) for digit in range(10)]


class PlainPixels:
    """A space that costs nothing, in the place of pretrained networks."""

    name, version = "plain", "plain-1"

    def __call__(self, images: Iterable[np.ndarray]) -> np.ndarray:
        return np.stack([image.reshape(-1).astype(np.float32) / 255 for image in images])


def digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    return (images.reshape(-1, 8, 8, 1) * 15.9).astype(np.uint8), labels


def make_set(path: Path, names: list[str], channels: int = 1) -> ImageSet:
    images, labels = digits()
    splits = np.array(["train", "train", "val", "test"])[np.arange(len(images)) % 4]
    records = [
        Record(pixel_id(i), i.repeat(channels, 2), str(s), "digits", int(y) if names else None)
        for i, y, s in zip(images, labels, splits, strict=True)
    ]
    write(path, records, metadata={"class_names": names, "channels": channels})
    return ImageSet(path)


@dataclass
class Copier:
    """Mints real images of the class asked for, spoilt by `noise` levels or by a wrong class.

    Its latent is the fraction of the way through the class's images.
    """

    noise: float = 0.0
    swap: int = 0
    only: int = 10**6
    channels: int = 1
    names: tuple[str, ...] = tuple(NAMES)
    size: int = 8
    fingerprint: str = "copier"

    def __post_init__(self) -> None:
        self.class_names, self.classes = list(self.names), max(1, len(self.names))
        self.card = {"name": "copier", "data": {"clean": "elsewhere"}}
        self._images, self._labels = digits()

    def latents(self, seeds: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.stack([np.modf(seeds / 7919.0)[0], seeds * 0 + 0.5], axis=1))

    def decode(self, latents: torch.Tensor, labels: np.ndarray) -> np.ndarray:
        made = []
        for share, label in zip(latents[:, 0].tolist(), labels, strict=True):
            wanted = (label + self.swap) % 10
            own = self._images if self.classes == 1 else self._images[self._labels == wanted]
            made.append(own[: self.only][int(abs(share) * 0.999 * len(own[: self.only]))])
        noise = self.noise * np.random.default_rng(0).normal(size=(len(made), 8, 8, 1))
        spoilt = np.clip(np.stack(made) + noise, 0, 255).astype(np.uint8)
        return spoilt.repeat(self.channels, axis=3)

    def mint(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        return self.decode(self.latents(seeds), labels)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return make_set(tmp_path_factory.mktemp("clean") / "set", NAMES)


@pytest.fixture
def config(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> EvaluateGeneratorConfig:
    monkeypatch.setattr(
        evaluate_generator, "pretrained_spaces", lambda _: ([PlainPixels()], ["no Inception"])
    )
    cache = tmp_path_factory.getbasetemp() / "generator-cache"  # shared: the tests agree on it
    return replace(CONFIG, cache=str(cache))


def figures(report: Path) -> dict:
    return json.loads((report / "figures.json").read_text())


def test_a_generator_as_good_as_fresh_reals_scores_like_the_floor(
    clean: ImageSet, config: EvaluateGeneratorConfig, tmp_path: Path
) -> None:
    metrics, _ = evaluate(replace(config, classifier_images=400), Copier(), clean, tmp_path / "r")
    row = figures(tmp_path / "r")["rows"][1]
    assert row["space"] == "classifier" and row["images"] == 400
    assert abs(metrics["kid_classifier"]) < 5 * metrics["kid_classifier_se"]
    assert "kid_classifier_floor" in metrics and "kid_plain_floor" in metrics
    assert metrics["class_accuracy"] == pytest.approx(metrics["class_accuracy_real"], abs=0.06)


def test_weights_that_cannot_be_fetched_are_one_note_of_the_report(
    clean: ImageSet,
    config: EvaluateGeneratorConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed: no Inception")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(published, "inception_address", lambda: "http://127.0.0.1:9/nobody.pth")
    evaluate(replace(config, published_weights="auto"), Copier(), clean, tmp_path / "r")
    notes = [note for note in figures(tmp_path / "r")["notes"] if "not fetched" in note]
    assert len(notes) == 1 and "refused" in notes[0]


def test_the_worse_the_generator_the_worse_every_figure(
    clean: ImageSet, config: EvaluateGeneratorConfig, tmp_path: Path
) -> None:
    found = [
        evaluate(config, Copier(noise=noise), clean, tmp_path / "r")[0] for noise in (0, 40, 120)
    ]
    for name in ("kid_plain", "kid_classifier"):
        assert found[0][name] < found[1][name] < found[2][name]
    for name in ("precision", "coverage", "class_accuracy", "class_confidence"):
        assert found[0][name] > found[1][name] > found[2][name]


def test_a_class_of_one_picture_keeps_its_accuracy_and_loses_recall(
    clean: ImageSet, config: EvaluateGeneratorConfig, tmp_path: Path
) -> None:
    metrics, _ = evaluate(config, Copier(only=1), clean, tmp_path / "r")
    assert metrics["class_accuracy"] > 0.8
    assert metrics["recall"] < 0.1 and metrics["coverage"] < 0.2
    assert any("rewards a class of look-alikes" in n for n in figures(tmp_path / "r")["notes"])


def test_swapped_classes_show_in_accuracy_and_not_in_the_pooled_distance(
    clean: ImageSet, config: EvaluateGeneratorConfig, tmp_path: Path
) -> None:
    metrics, _ = evaluate(config, Copier(swap=1), clean, tmp_path / "r")
    assert metrics["class_accuracy"] < 0.1
    assert abs(metrics["kid_plain"]) < 6 * metrics["kid_plain_se"]


def test_figures_below_their_minimum_are_absent_and_the_notes_say_why(
    clean: ImageSet, config: EvaluateGeneratorConfig, tmp_path: Path
) -> None:
    small = replace(config, images=150, classifier_images=5000)
    metrics, _ = evaluate(small, Copier(), clean, tmp_path / "r")
    notes = "\n".join(figures(tmp_path / "r")["notes"])
    assert "kid_plain" not in metrics and "plain: no KID; it needs 200 images a side" in notes
    assert "fd_classifier" not in metrics and "no Frechet distance; it needs 1000" in notes
    assert "5000 images a side were asked for, train has 899" in notes
    assert "no floors; 898 real held-out images are fewer than 899" in notes
    assert "No KID for 10 classes" in notes and "no Inception" in notes
    assert "trained on another version of this set" in notes


def test_every_class_has_its_row(
    clean: ImageSet, config: EvaluateGeneratorConfig, tmp_path: Path
) -> None:
    evaluate(config, Copier(), clean, tmp_path / "r")
    rows = figures(tmp_path / "r")["classes"]
    assert [row["name"] for row in rows] == NAMES
    assert all(row["images"] == 40 and 0.5 < row["accuracy"] <= 1.0 for row in rows)


def test_a_class_gets_its_kid_when_both_sides_have_200_images() -> None:
    known = np.random.default_rng(1).normal(size=(400, 4))
    rows = pd.DataFrame({"label": [3] * 250 + [4] * 150})
    whole, right = np.arange(250), np.ones(250, bool)
    samples = [ClassSample(label, whole, whole * 0.0, right, known[:250]) for label in (3, 4)]
    enough, short = class_rows(samples, NAMES, rows, known)
    assert enough["real_images"] == 250 and enough["kid_classifier"] < 0.0 < 1.0
    assert short["real_images"] == 150 and "kid_classifier" not in short
    assert "No KID for 1 classes (4)" in class_notes([enough, short], None)[0]


def test_a_set_without_classes_is_measured_without_a_classifier(
    config: EvaluateGeneratorConfig, tmp_path: Path
) -> None:
    unlabelled = make_set(tmp_path / "set", [], channels=3)
    generator = Copier(names=(), channels=3)
    metrics, picture = evaluate(config, generator, unlabelled, tmp_path / "r")
    assert set(metrics) == {
        "kid_plain",
        "kid_plain_se",
        "kid_plain_floor",
        "images_plain",
        "images",
        "network_calls",
    }
    assert picture.shape[2] == 3
    assert any("fewer than two classes" in note for note in figures(tmp_path / "r")["notes"])


def test_equal_arguments_give_an_equal_report(
    clean: ImageSet, config: EvaluateGeneratorConfig, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        evaluate(config, Copier(noise=20), clean, tmp_path / name)
    files = [p.relative_to(tmp_path / "a") for p in sorted((tmp_path / "a").rglob("*.*"))]
    assert len(files) > 8
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_other_generators_are_measured_beside_on_the_same_images(
    clean: ImageSet, config: EvaluateGeneratorConfig, tmp_path: Path
) -> None:
    others: list[Mint] = [Copier(), Copier(noise=120, fingerprint="worse")]
    evaluate(config, Copier(), clean, tmp_path / "r", others)
    found = figures(tmp_path / "r")
    same, worse = found["beside"]
    assert same["rows"] == found["rows"] and same["classes"] == found["classes"]
    assert worse["fingerprint"] == "worse"
    assert worse["rows"][0]["kid"] > same["rows"][0]["kid"]


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (Copier(names=("a", "b")), "the generator"),
        (Copier(channels=3), r"makes \(8, 8, 3\)"),
    ],
)
def test_a_generator_of_another_set_is_refused(
    clean: ImageSet,
    config: EvaluateGeneratorConfig,
    tmp_path: Path,
    generator: Copier,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(config, generator, clean, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_the_gallery_lists_every_picture(
    clean: ImageSet, config: EvaluateGeneratorConfig, tmp_path: Path
) -> None:
    evaluate(config, Copier(), clean, tmp_path / "r")
    entries = json.loads((tmp_path / "r" / "gallery.json").read_text())
    files = {path.name for path in (tmp_path / "r" / "gallery").iterdir()}
    assert {entry["file"] for entry in entries} == files and len(files) == len(entries)
    groups = [entry["group"] for entry in entries]
    assert [groups.count(g) for g in ("samples", "class", "interpolation", "nearest")] == [
        1,
        3,
        1,
        3,
    ]
    assert groups.count("best") == groups.count("worst") == 1
    for entry in entries:
        picture = decode((tmp_path / "r" / "gallery" / entry["file"]).read_bytes())
        assert picture.ndim == 3 and max(picture.shape) <= 4 * 132


def test_copies_lie_above_their_originals_in_the_sheets_of_neighbours(
    clean: ImageSet, config: EvaluateGeneratorConfig, tmp_path: Path
) -> None:
    reals = read_reals(clean, Copier(), config, lambda items, *_: items)
    shown = Shown(Copier(), config.gallery, 0)
    yardstick, measured = Yardstick([], None, None, []), Measured([])
    whole = replace(config, search_images=10**6)
    nearest = [
        p for p in sheets(whole, shown.mint, reals, yardstick, measured) if p.group == "nearest"
    ]
    train = {image.tobytes() for image in reals.images(reals.reference)}
    copied = [image.tobytes() in train for image in shown.samples(0, 4)]
    above, below = np.split(nearest[0].image, 2)
    cells = [slice(132 * n, 132 * n + 128) for n in range(4)]
    same = [np.array_equal(above[:, cell], below[:, cell]) for cell in cells]
    assert any(copied) and same == copied


def test_an_interpolation_begins_and_ends_at_its_latents() -> None:
    shown = Shown(Copier(), GeneratorGalleryConfig(columns=2, steps=5, classes=2), 1)
    way = interpolation(shown, 1)
    ends = shown.mint.mint(np.array([1, 1]), seeds_for(1, "ends 1", 2))
    assert len(way) == 5
    assert np.array_equal(way[0], ends[0]) and np.array_equal(way[-1], ends[1])


def test_slerp_keeps_the_length_of_equally_long_latents() -> None:
    start, end = torch.tensor([3.0, 0.0, 4.0]), torch.tensor([0.0, 5.0, 0.0])
    for share in (0.0, 0.25, 0.5, 1.0):
        assert slerp(start, end, share).norm() == pytest.approx(5.0, rel=1e-5)
    assert torch.allclose(slerp(start, start, 0.5), start)


def test_seeds_of_a_larger_sample_begin_with_those_of_a_smaller() -> None:
    assert np.array_equal(seeds_for(1, "sample", 50)[:20], seeds_for(1, "sample", 20))
    assert not np.array_equal(seeds_for(1, "sample", 20), seeds_for(1, "other", 20))


def test_minting_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, seeds = np.arange(30) % 10, np.arange(30) * 311
    whole = Copier().mint(labels, seeds)
    monkeypatch.setattr("remint.generator_evaluation.scoring.MINTED_AT_ONCE", 7)
    assert np.array_equal(np.stack(list(minted(Copier(), labels, seeds))), whole)


def untrained(folder: Path) -> Path:
    """Write the model folder of a VAE that has learnt nothing."""
    network = GeneratorConfig("vae", 8, 8, 4, 8, 1.0)
    module = build_generator(network, 1, 8, 10)
    folder.mkdir()
    save_file({k: v.contiguous() for k, v in module.state_dict().items()}, folder / WEIGHTS)
    card = {"format": FORMAT, "network": vars(network), "channels": 1, "size": 8,
            "class_names": NAMES, "images_seen": 0, "data": {}}  # fmt: skip
    (folder / CARD).write_text(json.dumps(card))
    return folder


def test_the_stage_measures_a_model_folder_and_writes_its_report(
    clean: ImageSet,
    config: EvaluateGeneratorConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = untrained(tmp_path / "model")
    section = json.loads(json.dumps(dataclasses.asdict(config)))
    (tmp_path / "params.yaml").write_text(json.dumps({"evaluate_generator": section}))
    paths = [str(model), str(clean.path), str(tmp_path / "report")]
    flags = ["--beside", str(model), "--params", str(tmp_path / "params.yaml")]
    evaluate_generator.main([*paths, *flags])
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    found = figures(tmp_path / "report")
    assert all(isinstance(value, int | float) for value in metrics.values())
    assert metrics["kid_plain"] > 0.01 and metrics["coverage"] < 0.2
    assert metrics["network_calls"] == 1 and found["model"]["network_calls"] == 1
    assert found["model"]["name"] == "vae" and found["beside"][0]["rows"] == found["rows"]
    assert f"coverage {metrics['coverage']:.2f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "calls"),
    [
        ({"name": "conv"}, 1),
        ({"name": "adversarial_flow"}, 6),
        ({"name": "flow"}, 11),
        ({"name": "flow", "solver": "adams"}, 6),
        ({"name": "flow", "solver": "adams", "guidance": 1.5}, 12),
    ],
)
def test_calls_of_the_network_an_image(change: dict[str, object], calls: int) -> None:
    assert network_calls({"steps": 6, "guidance": 1.0, **change}) == calls


def test_images_a_second_are_of_minting_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.0])
    monkeypatch.setattr("tasks.figures.generator.time.perf_counter", lambda: next(times))
    assert images_a_second(Copier()) == 256 / 2.0


def test_the_outcome_is_said_in_one_line() -> None:
    metrics = {"images": 1500.0, "kid_efflite0": 0.0123, "kid_efflite0_floor": 0.0001,
               "precision": 0.7, "coverage": 0.6, "class_accuracy": 0.953}  # fmt: skip
    assert sentence(metrics) == (
        "1,500 images, KID-EffLite0 x 1000 12.3 (real 0.1), precision 0.70, coverage 0.60, "
        "class accuracy 95.3%"
    )


def test_a_classifier_that_would_see_no_whole_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="training_images: found 10"):
        replace(CONFIG, training_images=10)
