"""Claims about the averaged classifier: one training is its whole learning curve."""

from dataclasses import replace

import numpy as np

from remint.classifier.averaged import (
    AveragedConfig,
    AveragedTraining,
    CurveConfig,
    learning_curve,
    settled,
    train_averaged,
)

CONFIG = AveragedConfig(width=4, batch=16, rate=0.01)
CURVE = CurveConfig(most_steps=80, check_every=10, patience=2, tolerance=0.01, held_out=0.2)


def bars(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright bar whose height tells the class of two."""
    drawn = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = drawn.integers(0, 120, (count, 12, 12, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[6 * label : 6 * label + 3] += 60
    return images, labels.astype(np.int64)


def test_the_average_after_n_steps_is_a_training_of_n_steps() -> None:
    images, labels = bars(60)
    longer = AveragedTraining(images, labels, 2, CONFIG, "none", 1)
    for step in longer.run(30):
        if step == 12:
            early = longer.average.state_dict()["head.weight"].clone()
    alone = train_averaged(images, labels, 2, CONFIG, "none", 12, 1)
    assert (alone.network.state_dict()["head.weight"] == early).all()


def test_the_average_learns_and_never_looks_at_what_is_held_out() -> None:
    images, labels = bars(120)
    curve = learning_curve(images, labels, 2, CONFIG, CURVE, "none", 1)
    assert curve.points[-1][1] < 0.5 * curve.points[0][1]
    assert curve.steps in dict(curve.points) and curve.steps <= CURVE.most_steps
    other = train_averaged(*bars(120), 2, CONFIG, "none", curve.steps, 1)
    fresh, truth = bars(60, seed=9)
    assert (other.probabilities(fresh).argmax(axis=1) == truth).mean() > 0.9


def test_the_curve_ends_once_flat_and_says_where_it_was_cut_off() -> None:
    images, labels = bars(120)
    endless = learning_curve(images, labels, 2, CONFIG, replace(CURVE, patience=100), "none", 1)
    assert not endless.flat and endless.points[-1][0] == CURVE.most_steps
    labels = np.random.default_rng(0).permutation(labels)  # nothing to be learned
    flat = learning_curve(images, labels, 2, CONFIG, CURVE, "none", 1)
    assert flat.flat and flat.points[-1][0] < CURVE.most_steps


def test_the_first_point_near_the_lowest_suffices() -> None:
    points = [(50, 0.9), (100, 0.312), (150, 0.305), (200, 0.4)]
    assert settled(points, 0.01) == 100 and settled(points, 0.0) == 150


def test_weights_of_classes_as_targets_shift_what_is_predicted() -> None:
    images = np.full((40, 12, 12, 1), 100, np.uint8)
    images[:] += np.random.default_rng(0).integers(0, 20, images.shape, dtype=np.uint8)
    labels = np.arange(40) % 2
    favoured = np.eye(2, dtype=np.float32)[labels] * np.array([1.9, 0.1], np.float32)
    classifier = train_averaged(images, favoured, 2, CONFIG, "none", 40, 1)
    assert classifier.probabilities(images)[:, 0].mean() > 0.8
