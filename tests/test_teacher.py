"""Claims about the teacher: where its training ends, and what it never looks at."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from remint.classifier import teacher
from remint.classifier.teacher import TeacherConfig, held_out, is_flat, train_teacher
from remint.classifier.train import batches

from .test_classifier import bars, by_threads

QUICK = TeacherConfig(
    width=8, batch=32, rate=1e-2, most_steps=120, check_every=10, patience=2, held_out=0.2,
    augment="none",
)  # fmt: skip


def test_it_learns_and_cools_down_within_its_steps() -> None:
    trained = train_teacher(*bars(200), 2, QUICK, 1)
    images, labels = bars(200, seed=1)
    assert (trained.classifier.probabilities(images).argmax(axis=1) == labels).mean() > 0.9
    assert trained.steps <= QUICK.most_steps and trained.curve[-1][1] < 0.5


def test_training_ends_soon_after_the_curve_is_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.9, 0.5, 0.6, 0.7])
    monkeypatch.setattr(teacher, "held_out_loss", lambda *_: next(losses))
    trained = train_teacher(*bars(100), 2, QUICK, 1)
    assert [step for step, _ in trained.curve] == [10, 20, 30, 40]
    assert trained.steps == round(40 / 0.6)


def test_a_curve_is_flat_when_its_lowest_point_lies_back() -> None:
    assert is_flat([0.5, 0.4, 0.4, 0.41], 2)
    assert not is_flat([0.5, 0.4, 0.41, 0.39], 2)


def test_no_step_sees_an_image_of_the_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = bars(100)
    fed: list[np.ndarray] = []
    monkeypatch.setattr(
        teacher, "batches", lambda seen, *more: fed.append(seen) or batches(seen, *more)
    )
    train_teacher(images, labels, 2, replace(QUICK, most_steps=10), 1)
    held = images[held_out(labels, QUICK.held_out, 1)]
    assert len(held) == 20 and len(fed[0]) == 80
    assert not {image.tobytes() for image in held} & {image.tobytes() for image in fed[0]}


def test_every_class_of_two_or_more_is_on_the_curve_and_none_is_lost() -> None:
    labels = np.array([0] * 50 + [1] * 2 + [2])
    rows = held_out(labels, 0.1, 0)
    assert np.bincount(labels[rows], minlength=3).tolist() == [5, 1, 0]


def test_equal_arguments_give_equal_teachers_whatever_the_number_of_cores() -> None:
    config = replace(QUICK, most_steps=20, width=32)
    few, many = (
        by_threads(threads, lambda: train_teacher(*bars(60, side=28), 2, config, 3))
        for threads in (1, 3)
    )
    assert few.classifier.fingerprint == many.classifier.fingerprint


def test_mirroring_flips_about_half_and_changes_nothing_else() -> None:
    images, labels = bars(64)
    plain, _ = next(batches(images, labels, 64, 1, "none", 1))
    mirrored, _ = next(batches(images, labels, 64, 1, "mirror", 1))
    same = _equal(mirrored, plain)
    flipped = _equal(mirrored, plain.flip(-1))
    assert (same | flipped).all() and 16 < int((~same).sum()) < 48


def _equal(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one == other).flatten(1).all(dim=1)
