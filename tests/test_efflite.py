"""Claims about EfficientNet-Lite0, its features and their cache."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from remint.core.arrays import to_tensor
from remint.metrics.features import EffLiteExtractor, cached_features
from remint.networks import efflite

TIGER_CAT, ESPRESSO = 282, 967  # ImageNet's classes


@pytest.fixture(scope="module")
def network() -> efflite.EfficientNetLite0:
    return efflite.load()


def centre(pixels: np.ndarray) -> torch.Tensor:
    """The usual ImageNet crop: shorter side to 256 px, 224 px from the middle."""
    picture = Image.fromarray(pixels)
    scale = 256 / min(picture.size)
    width, height = (round(side * scale) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - 224) // 2, (height - 224) // 2
    crop = np.asarray(picture.crop((left, top, left + 224, top + 224)))
    return efflite.preprocess(to_tensor(crop[None]))


@pytest.mark.parametrize(
    ("pixels", "expected", "sure"), [("coffee", ESPRESSO, 0.95), ("chelsea", TIGER_CAT, 0.39)]
)
def test_the_weights_are_real_ones(
    network: efflite.EfficientNetLite0, pixels: str, expected: int, sure: float
) -> None:
    probabilities = network.classify(centre(getattr(data, pixels)())).softmax(dim=1)[0]
    assert int(probabilities.argmax()) == expected
    assert float(probabilities.max()) == pytest.approx(sure, abs=0.01)


def test_folding_batch_norm_changes_no_feature(network: efflite.EfficientNetLite0) -> None:
    plain = efflite.EfficientNetLite0()
    plain.load_state_dict(torch.load(efflite.weights_file(), weights_only=True))
    images = centre(data.coffee())
    with torch.inference_mode():
        assert torch.allclose(plain.eval()(images), network(images), atol=1e-4)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efflite, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="reinstall"):
        efflite.load()


def test_gradients_flow_through_preprocessing_and_network(
    network: efflite.EfficientNetLite0,
) -> None:
    image = torch.zeros(1, 1, 32, 32, requires_grad=True)
    network(efflite.preprocess(image)).sum().backward()
    assert image.grad is not None
    assert float(image.grad.abs().sum()) > 0


def test_features_do_not_depend_on_what_shares_the_batch() -> None:
    extractor = EffLiteExtractor(torch.device("cpu"))
    coffee, cat = data.coffee()[:100, :90], data.chelsea()[:64, :70]
    together = extractor([coffee, cat, coffee[:, :, :1]])
    alone = np.concatenate([extractor([x]) for x in (coffee, cat, coffee[:, :, :1])])
    assert together.shape == (3, efflite.DIMENSIONS)
    assert np.allclose(together, alone, atol=1e-4)


class Counting:
    """Mean colour as features, counting how often it is asked."""

    name, version = "mean", "mean-1"
    calls = 0

    def __call__(self, images: list[np.ndarray]) -> np.ndarray:
        self.calls += 1
        return np.array([[image.mean()] for image in images], np.float32)


def test_features_are_computed_once_for_the_same_data_and_extractor(tmp_path: Path) -> None:
    extractor, images = Counting(), [np.full((2, 2, 1), 7, np.uint8)]

    def ask(fingerprint: str, ids: list[str]) -> np.ndarray:
        return cached_features(tmp_path / "cache", extractor, fingerprint, ids, lambda: images)

    first = ask("data", ["a"])
    assert np.array_equal(ask("data", ["a"]), first)
    assert extractor.calls == 1
    ask("other data", ["a"])
    ask("data", ["b"])
    extractor.version = "mean-2"
    ask("data", ["a"])
    assert extractor.calls == 4


def test_a_broken_cache_file_is_made_again(tmp_path: Path) -> None:
    extractor, images = Counting(), [np.full((2, 2, 1), 7, np.uint8)]
    first = cached_features(tmp_path, extractor, "data", ["a"], lambda: images)
    (path,) = tmp_path.glob("*.npy")
    path.write_bytes(path.read_bytes()[:-2])
    again = cached_features(tmp_path, extractor, "data", ["a"], lambda: images)
    assert np.array_equal(first, again)
    assert extractor.calls == 2
