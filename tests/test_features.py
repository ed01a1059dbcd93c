"""Claims about spaces of features and what is kept of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from remint.classifier.train import ClassifierConfig
from remint.generator_evaluation import features
from remint.generator_evaluation.features import (
    ClassifierExtractor,
    ThumbnailExtractor,
    by_hash,
    dino_extractor,
    read_images,
    set_classifier,
)
from remint.images.imageset import ImageSet, Record, pixel_id, write
from remint.metrics.spaces import thumbnails

QUICK = ClassifierConfig(steps=4, batch=8, rate=1e-2, width=4, augment="none")
CPU = torch.device("cpu")

HUBCONF = """
import torch

class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.scale * torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)

def dinov2_vits14(pretrained=True):
    assert not pretrained, "nothing may be fetched"
    return Tiny()
"""


def make_set(path: Path, sizes: tuple[int, ...] = (12,), count: int = 24) -> ImageSet:
    generator = np.random.default_rng(0)
    records = []
    for number in range(count):
        side = sizes[number % len(sizes)]
        image = generator.integers(0, 256, (side, side, 1), dtype=np.uint8)
        records.append(Record(pixel_id(image), image, "train", f"{number}", number % 2))
    write(path, records, metadata={"class_names": ["a", "b"], "channels": 1})
    return ImageSet(path)


def test_images_come_in_the_order_asked_for(tmp_path: Path) -> None:
    clean = make_set(tmp_path / "set")
    positions = np.array([5, 0, 17, 5])
    expected = np.stack([clean.at(int(place))[1] for place in positions])
    assert np.array_equal(read_images(clean, positions), expected)


def test_images_of_several_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="several sizes"):
        read_images(make_set(tmp_path / "set", sizes=(12, 14)), np.arange(4))


def test_a_hashed_sample_stays_when_images_are_added(tmp_path: Path) -> None:
    frame = make_set(tmp_path / "set").frame()
    order = list(by_hash(frame, 1, "test")["id"])
    fewer = list(by_hash(frame.iloc[::2], 1, "test")["id"])
    assert fewer == [name for name in order if name in set(fewer)]
    assert order != list(by_hash(frame, 2, "test")["id"])


def test_the_sets_classifier_is_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = make_set(tmp_path / "set")
    first = set_classifier(clean, QUICK, 20, 1, tmp_path / "cache", "cpu")
    other = set_classifier(clean, QUICK, 20, 2, tmp_path / "cache", "cpu")
    monkeypatch.setattr(features, "train_classifier", lambda *_: pytest.fail("trained again"))
    again = set_classifier(clean, QUICK, 20, 1, tmp_path / "cache", "cpu")
    assert again.fingerprint == first.fingerprint != other.fingerprint
    assert ClassifierExtractor(again).version == ClassifierExtractor(first).version


def test_extractors_do_not_depend_on_how_images_are_batched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = make_set(tmp_path / "set")
    images = read_images(clean, np.arange(24))
    classifier = set_classifier(clean, QUICK, 20, 1, tmp_path / "cache", "cpu")
    whole = ClassifierExtractor(classifier)(images)
    monkeypatch.setattr(features, "BATCH", 5)
    assert np.allclose(ClassifierExtractor(classifier)(iter(images)), whole, atol=1e-6)
    assert np.array_equal(ThumbnailExtractor()(images), thumbnails(images))


def test_dinov2_is_absent_where_its_weights_are_and_the_note_says_where_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found, note = dino_extractor(CPU)
    assert found is None
    assert "facebookresearch_dinov2_main" in note and "checkpoints" in note


def test_dinov2_is_used_from_torchs_hub_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    hub = tmp_path / "hub"
    (hub / "facebookresearch_dinov2_main").mkdir(parents=True)
    (hub / "checkpoints").mkdir()
    (hub / "facebookresearch_dinov2_main" / "hubconf.py").write_text(HUBCONF)
    torch.save({"scale": torch.ones(1)}, hub / "checkpoints" / "dinov2_vits14_pretrain.pth")
    found, note = dino_extractor(CPU)
    assert found is not None and found.name == "dinov2_vits14" and "dinov2_vits14" in note
    white = found([np.full((9, 7, 1), 255, np.uint8)])
    expected = [
        (1.0 - m) / s for m, s in zip(features.COLOUR_MEAN, features.COLOUR_STD, strict=True)
    ]
    assert np.allclose(white, [expected * 2], atol=1e-3)
