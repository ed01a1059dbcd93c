"""Claims about the small classifier."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from remint.classifier.train import Classifier, ClassifierConfig, augmented, train_classifier

T = TypeVar("T")
QUICK = ClassifierConfig(steps=30, batch=32, rate=1e-2, width=8, augment="none")


def bars(count: int, side: int = 12, channels: int = 1, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return pictures of a lying (0) or a standing (1) bar in noise."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 120, (count, side, side, channels), dtype=np.uint8)
    labels = np.arange(count) % 2
    places = generator.integers(1, side - 1, count)
    for image, label, place in zip(images, labels, places, strict=True):
        image[(place, slice(None)) if label == 0 else (slice(None), place)] = 255
    return images, labels


def by_threads(threads: int, function: Callable[[], T]) -> T:
    """Return the function's answer where torch may use so many threads, and may still after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        answer = function()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    return answer


@pytest.mark.parametrize(("side", "channels"), [(12, 1), (33, 3), (5, 1)])
def test_it_learns_what_it_is_shown_at_any_size(side: int, channels: int) -> None:
    classifier = train_classifier(*bars(200, side, channels), 2, replace(QUICK, steps=60), 1)
    images, labels = bars(200, side, channels, seed=1)
    probabilities = classifier.probabilities(images)
    assert probabilities.shape == (200, 2) and probabilities.dtype == np.float32
    assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.9
    assert classifier.features(images).shape == (200, 4 * QUICK.width)


def test_it_reads_digits() -> None:
    images, labels = load_digits(return_X_y=True)
    pixels = (images.reshape(-1, 8, 8, 1) * 15.9).astype(np.uint8)
    config = ClassifierConfig(steps=150, batch=64, rate=1e-2, width=16, augment="classical")
    classifier = train_classifier(pixels[:1200], labels[:1200], 10, config, 1)
    assert (classifier.probabilities(pixels[1200:]).argmax(1) == labels[1200:]).mean() > 0.9


def test_equal_arguments_give_equal_weights_whatever_torch_drew_before() -> None:
    images, labels = bars(40)
    config = replace(QUICK, steps=5, augment="classical")
    first = train_classifier(images, labels, 2, config, 1)
    state = torch.get_rng_state()
    torch.rand(3)
    again = train_classifier(images, labels, 2, config, 1)
    other = train_classifier(images, labels, 2, config, 2)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    torch.set_rng_state(state)


def test_the_weights_do_not_depend_on_the_number_of_cores() -> None:
    images, labels = bars(64, side=28)
    config = replace(QUICK, steps=5, batch=64, width=32)
    few, many = (
        by_threads(threads, lambda: train_classifier(images, labels, 2, config, 1))
        for threads in (1, 3)
    )
    assert few.fingerprint == many.fingerprint


def test_training_leaves_the_global_random_state_alone() -> None:
    state = torch.get_rng_state()
    train_classifier(*bars(40), 2, replace(QUICK, steps=2), 1)
    assert torch.equal(torch.get_rng_state(), state)


def test_it_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    images, labels = bars(60)
    classifier = train_classifier(images, labels, 2, QUICK, 1)
    classifier.save(tmp_path / "judge.safetensors")
    again = Classifier.load(tmp_path / "judge.safetensors")
    assert again.fingerprint == classifier.fingerprint and again.shape == (12, 12, 1)
    assert np.array_equal(again.probabilities(images), classifier.probabilities(images))


def test_a_file_that_holds_no_classifier_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing of the kind")
    for name in ("a.safetensors", "absent.safetensors"):
        with pytest.raises(ValueError, match="can't be used as a classifier"):
            Classifier.load(tmp_path / name)


def test_no_images_give_no_rows() -> None:
    classifier = train_classifier(*bars(40), 2, replace(QUICK, steps=2), 1)
    none = np.zeros((0, 12, 12, 1), np.uint8)
    assert classifier.probabilities(none).shape == (0, 2)
    assert classifier.features(none).shape == (0, 32)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (np.zeros(40, np.int64), 2, "needed two or more to tell apart"),
        (np.arange(40) % 3, 2, "labels 0 to 2, needed 0 to 1"),
        (np.arange(39) % 2, 2, "39 labels"),
    ],
)
def test_what_cannot_be_learnt_is_refused(labels: np.ndarray, classes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_classifier(bars(40)[0], labels, classes, QUICK, 1)


def test_images_of_another_shape_are_refused() -> None:
    classifier = train_classifier(*bars(40), 2, replace(QUICK, steps=2), 1)
    with pytest.raises(ValueError, match=r"needed uint8 \(12, 12, 1\)"):
        classifier.features(bars(3, side=14)[0])


def test_augmentation_in_the_middle_of_its_ranges_changes_nothing() -> None:
    images = torch.rand(4, 3, 9, 9) * 2 - 1
    assert torch.allclose(augmented(images, torch.full((4, 4), 0.5)), images, atol=1e-5)


def test_augmentation_moves_shapes_and_keeps_the_range() -> None:
    images = torch.full((64, 1, 12, 12), -1.0)
    images[:, :, 5:7, 5:7] = 1.0
    moved = augmented(images, torch.rand(64, 4, generator=torch.Generator().manual_seed(1)))
    assert moved.min() >= -1.0 and moved.max() <= 1.0
    assert len({tuple(image.flatten().tolist()) for image in moved}) == 64
    assert (moved.mean(dim=(1, 2, 3)) > -1.0).all()  # the shape is still in the picture


def test_the_file_of_equal_classifiers_is_equal_to_the_byte(tmp_path: Path) -> None:
    classifier = train_classifier(*bars(40), 2, replace(QUICK, steps=2), 1)
    for number in range(8):  # several keys in the header would change places by chance
        classifier.save(tmp_path / f"{number}.safetensors")
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1
