"""A classifier that is the running average of its weights at a constant rate of learning.

No schedule has to know the last step beforehand: the average after n steps is what a training of n
steps gives, so that one training is the whole learning curve, and says how many steps suffice.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import nn

from remint.classifier.network import ClassifierNetwork, initialise
from remint.classifier.teacher import held_out, held_out_loss
from remint.classifier.train import (
    Augment,
    Classifier,
    batches,
    check_training,
    optimiser_for,
    take_step,
)
from remint.core.ranges import Rate, Steps, Weight, Width

WARM_UP = 20  # steps
DECAY = 0.98  # of the average: it reaches back over some 50 steps


@dataclass(frozen=True)
class AveragedConfig:
    """The network and its steps, all but their number.

    width: channels of the first layer; batch: images a step; rate: of AdamW.
    """

    width: Width
    batch: Annotated[int, Ge(2), Le(65_536)]
    rate: Rate


@dataclass(frozen=True)
class CurveConfig:
    """How the number of steps is found that suffices.

    most_steps: at most; check_every: steps between two points of the curve; patience: points
    without a new lowest held-out cross-entropy that end it; tolerance: nats by which the earliest
    point that suffices may lie above the lowest; held_out: share of each class's training images
    that the curve is measured on.
    """

    most_steps: Steps
    check_every: Steps
    patience: Annotated[int, Ge(1), Le(1000)]
    tolerance: Weight
    held_out: Annotated[float, Gt(0), Le(0.5)]


@dataclass(frozen=True)
class Curve:
    """points: (steps, held-out cross-entropy in nats); steps: that suffice; flat: or the most."""

    points: list[tuple[int, float]]
    steps: int
    flat: bool


class AveragedTraining:
    """A training whose averaged network may be asked for after any step."""

    def __init__(
        self,
        images: np.ndarray,
        targets: np.ndarray,
        classes: int,
        config: AveragedConfig,
        augment: Augment,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """images: uint8 [N, H, W, C]; targets: int64 [N], or float32 [N, K] of weights a class.

        Equal arguments give equal weights on a CPU. ValueError where nothing is to be told apart.
        """
        labels = targets.argmax(axis=1) if targets.ndim == 2 else targets
        check_training(images, labels, classes)
        self.images, self.targets, self.classes = images, targets, classes
        self.config, self.augment, self.seed = config, augment, seed
        self.device = torch.device(device)
        _, height, width, channels = images.shape
        self.shape = (height, width, channels)
        network = ClassifierNetwork(channels, max(height, width), classes, config.width)
        initialise(network, seed)
        self.network = network.to(self.device).train()
        self.average = copy.deepcopy(self.network)
        tensors = zip(_averaged(self.average), _averaged(self.network), strict=True)
        self._pairs = list(tensors)

    def run(self, steps: int) -> Iterator[int]:
        """Make that many steps, and yield after each how many were made."""
        config = self.config
        optimiser = optimiser_for(self.network, config.rate)
        fed = batches(self.images, self.targets, config.batch, steps, self.augment, self.seed)
        for step, (batch, wanted) in enumerate(fed):
            rate = config.rate * min(1.0, (step + 1) / WARM_UP)
            take_step(self.network, optimiser, batch.to(self.device), wanted.to(self.device), rate)
            with torch.no_grad():
                for kept, new in self._pairs:
                    kept.lerp_(new, 1.0 - min(DECAY, (1 + step) / (10 + step)))
            yield step + 1

    def classifier(self) -> Classifier:
        """Return the averaged network; no step may follow."""
        width = self.config.width
        return Classifier(self.average, self.shape, self.classes, width, self.device)


def _averaged(network: nn.Module) -> list[torch.Tensor]:
    """Return weights and batch statistics, but not how many batches there were."""
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]


def train_averaged(
    images: np.ndarray,
    targets: np.ndarray,
    classes: int,
    config: AveragedConfig,
    augment: Augment,
    steps: int,
    seed: int,
    device: str = "cpu",
) -> Classifier:
    """Return the averaged classifier after that many steps; arguments as of AveragedTraining."""
    training = AveragedTraining(images, targets, classes, config, augment, seed, device)
    for _ in training.run(steps):
        pass
    return training.classifier()


def learning_curve(
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    config: AveragedConfig,
    curve: CurveConfig,
    augment: Augment,
    seed: int,
    device: str = "cpu",
) -> Curve:
    """Return the curve of a training on all but some held-out images, and the steps that suffice.

    images: uint8 [N, H, W, C]; labels: int64 [N].
    """
    held = held_out(labels, curve.held_out, seed)
    known = np.setdiff1d(np.arange(len(labels)), held)
    lesson = images[known], labels[known], classes, config
    training = AveragedTraining(*lesson, augment, seed, device)
    points: list[tuple[int, float]] = []
    for step in training.run(curve.most_steps):
        if step % curve.check_every and step < curve.most_steps:
            continue
        loss = held_out_loss(training.average, images[held], labels[held], device)
        points.append((step, loss))
        if len(points) - 1 - _lowest(points) >= curve.patience:
            break
    return Curve(points, settled(points, curve.tolerance), points[-1][0] < curve.most_steps)


def settled(points: list[tuple[int, float]], tolerance: float) -> int:
    """Return the first number of steps whose loss lies no further above the lowest."""
    enough = tolerance + min(loss for _, loss in points)
    return next(step for step, loss in points if loss <= enough)


def _lowest(points: list[tuple[int, float]]) -> int:
    return min(range(len(points)), key=lambda number: points[number][1])
