"""A classifier trained until its validation curve is flat: it filters, and its doubt is a label.

The curve is of images held out of the training images themselves; val and test are never looked at.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le

from remint.classifier.network import ClassifierNetwork, initialise
from remint.classifier.train import (
    Augment,
    Classifier,
    batches,
    check_training,
    optimiser_for,
    take_step,
)
from remint.core.arrays import to_tensor
from remint.core.device import one_thread
from remint.core.randomness import generator
from remint.core.ranges import Rate, Steps, Width

COOL_DOWN = 0.4  # share of all steps in which the rate falls to 0
WARM_UP = 100  # steps
EVALUATED = 512  # images at once


@dataclass(frozen=True)
class TeacherConfig:
    """How long and on what a teacher is trained.

    width: channels of the first layer; batch: images a step; rate: highest of AdamW; most_steps:
    in all, however much the curve would still fall; check_every: steps between two points of the
    curve; patience: points without a new lowest held-out cross-entropy, after which the curve is
    flat; held_out: share of the training images of each class that the curve is measured on;
    augment: classical turns, shifts and zooms a little, mirror flips half of the images.
    """

    width: Width
    batch: Annotated[int, Ge(2), Le(65_536)]
    rate: Rate
    most_steps: Steps
    check_every: Steps
    patience: Annotated[int, Ge(1), Le(1000)]
    held_out: Annotated[float, Gt(0), Le(0.5)]
    augment: Augment


@dataclass(frozen=True)
class Teacher:
    """curve: (step, held-out cross-entropy in nats) at the constant rate; steps: made in all."""

    classifier: Classifier
    curve: list[tuple[int, float]]
    steps: int


@one_thread()
def train_teacher(
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    config: TeacherConfig,
    seed: int,
    device: str = "cpu",
) -> Teacher:
    """Train on uint8 [N, H, W, C] with int64 labels [N] in 0..classes - 1.

    A constant rate until the curve is flat, then linearly to 0 over COOL_DOWN of all steps (Haegele
    et al., arXiv 2405.18392, section 3), so that the length need not be known beforehand. Equal
    arguments give equal weights on a CPU, however many cores there are. Raises ValueError where
    there is nothing to tell apart.
    """
    check_training(images, labels, classes)
    held = held_out(labels, config.held_out, seed)
    known = np.setdiff1d(np.arange(len(labels)), held)
    height, width, channels = images.shape[1:]
    network = ClassifierNetwork(channels, max(height, width), classes, config.width)
    initialise(network, seed)
    network = network.to(device).train()
    optimiser = optimiser_for(network, config.rate)
    curve: list[tuple[int, float]] = []
    last = config.most_steps  # until the curve is flat, or long enough to leave time to cool down
    flat_at = max(1, round(config.most_steps * (1 - COOL_DOWN)))
    fed = batches(
        images[known], labels[known], config.batch, config.most_steps, config.augment, seed
    )
    for step, (batch, targets) in enumerate(fed):
        if step >= last:
            break
        rate = config.rate * min((step + 1) / WARM_UP, 1.0, (last - step) / max(1, last - flat_at))
        take_step(network, optimiser, batch.to(device), targets.to(device), rate)
        if (step + 1) % config.check_every == 0 and step + 1 < flat_at:
            curve.append((step + 1, held_out_loss(network, images[held], labels[held], device)))
            if is_flat([loss for _, loss in curve], config.patience):
                flat_at, last = step + 1, round((step + 1) / (1 - COOL_DOWN))
    shape = (height, width, channels)
    trained = Classifier(network, shape, classes, config.width, torch.device(device))
    return Teacher(trained, curve, last)


def is_flat(losses: list[float], patience: int) -> bool:
    """Say whether the lowest of the losses lies `patience` or more points back."""
    return len(losses) - 1 - int(np.argmin(losses)) >= patience


def held_out(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return sorted int64 rows: of each class that share, one at least of two or more images."""
    order = generator(seed, "teacher-held-out", "").permutation(len(labels))
    rows = [np.zeros(0, np.int64)]
    for name in np.unique(labels):
        members = order[labels[order] == name]
        count = max(int(share * len(members)), 1) if len(members) > 1 else 0
        rows.append(members[:count])
    return np.sort(np.concatenate(rows))


@torch.no_grad()
def held_out_loss(
    network: ClassifierNetwork, images: np.ndarray, labels: np.ndarray, device: str
) -> float:
    """Return the mean cross-entropy in nats, 0 without images; the network goes on training."""
    network.eval()
    total = 0.0
    for start in range(0, len(images), EVALUATED):
        part = slice(start, start + EVALUATED)
        targets = torch.from_numpy(labels[part].astype(np.int64)).to(device)
        logits = network(to_tensor(images[part]).to(device))
        total += float(F.cross_entropy(logits, targets, reduction="sum"))
    network.train()
    return total / max(1, len(images))
