"""A small image classifier, trained in seconds on a CPU: it names labels and gives features.

The same steps whatever the number of images, and every draw from a counter, so that two trainings
differ by their images alone.

errors:
    ValueError   one class only, images that do not fit, or a file that holds no classifier
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from safetensors import SafetensorError, safe_open
from torch import nn

from remint.classifier.network import ClassifierNetwork, initialise
from remint.core.arrays import to_tensor
from remint.core.atomic import replaced_file
from remint.core.device import one_thread
from remint.core.randomness import counter_uniform, generator
from remint.core.ranges import Rate, Steps, Width
from remint.networks.weights import write_tensors

FORMAT = "3"  # raise it when training changes: classifiers are kept by it
BATCH = 128
WARM_UP = 0.1  # share of the steps
WEIGHT_DECAY = 0.05
# Classical augmentation, each uniform up to: rotation in degrees; parts of the side, of the size
ROTATION, SHIFT, ZOOM = 12.0, 0.1, 0.12

Augment = Literal["none", "classical", "mirror"]


@dataclass(frozen=True)
class ClassifierConfig:
    """How a classifier is trained.

    steps of `batch` images each, whatever the number of images; rate: highest of AdamW; width:
    channels of the first layer (the features are four times as wide); augment: "classical" turns,
    shifts and zooms a little, "mirror" flips half of the images (not for digits or letters).
    """

    steps: Steps
    batch: Annotated[int, Ge(2), Le(65_536)]
    rate: Rate
    width: Width
    augment: Augment


class Classifier:
    """A trained network. shape: height, width and channels of the images that it takes."""

    def __init__(
        self,
        network: ClassifierNetwork,
        shape: tuple[int, int, int],
        classes: int,
        width: int,
        device: torch.device,
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.shape, self.classes, self.width, self.device = shape, classes, width, device

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return float32 [N, K] for uint8 [N, H, W, C]; rows sum to 1."""
        return self._run(images, lambda x: self.network(x).softmax(dim=1), self.classes)

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the layer before the last, float32 [N, D], for uint8 [N, H, W, C]."""
        return self._run(images, self.network.features, 4 * self.width)

    @torch.inference_mode()
    def _run(self, images: np.ndarray, function: Any, wide: int) -> np.ndarray:
        check_images(images, self.shape)
        rows = [np.zeros((0, wide), np.float32)]
        for start in range(0, len(images), BATCH):
            part = to_tensor(images[start : start + BATCH]).to(self.device)
            rows.append(function(part).float().cpu().numpy())
        return np.concatenate(rows)

    @cached_property
    def fingerprint(self) -> str:
        """BLAKE2b-128 hex of the weights: names this space of features."""
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: Path | str) -> None:
        """Write one safetensors file, the shape of the network as JSON in its header."""
        facts = {"shape": self.shape, "classes": self.classes, "width": self.width}
        # under one key, since safetensors writes several in an order of chance
        header = {"classifier": json.dumps({**facts, "format": FORMAT})}
        with replaced_file(path) as fresh:
            write_tensors(fresh, self.network.state_dict(), header)

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> "Classifier":
        """Read what `save` wrote; ValueError says what is wrong with the file."""
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads(file.metadata()["classifier"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            shape, classes, width = tuple(facts["shape"]), facts["classes"], facts["width"]
            network = ClassifierNetwork(shape[2], max(shape[:2]), classes, width)
            network.load_state_dict(tensors)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"{path} can't be used as a classifier ({error}); train it again"
            ) from error
        return cls(network, shape, classes, width, torch.device(device))


@one_thread()
def train_classifier(
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    config: ClassifierConfig,
    seed: int,
    device: str = "cpu",
) -> Classifier:
    """Train on uint8 [N, H, W, C] with int64 labels [N] in 0..classes - 1.

    Equal arguments give equal weights on a CPU, however many cores there are; a batch's members and
    augmentation depend on the seed and the count of images seen alone. Raises ValueError where
    there is nothing to tell apart.
    """
    check_training(images, labels, classes)
    on = torch.device(device)
    height, width, channels = images.shape[1:]
    network = ClassifierNetwork(channels, max(height, width), classes, config.width)
    initialise(network, seed)
    network = network.to(on).train()
    optimiser = optimiser_for(network, config.rate)
    fed = batches(images, labels, config.batch, config.steps, config.augment, seed)
    for step, (batch, targets) in enumerate(fed):
        rate = _rate(config, step)
        take_step(network, optimiser, batch.to(on), targets.to(on), rate)
    return Classifier(network, (height, width, channels), classes, config.width, on)


def take_step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: torch.Tensor,
    targets: torch.Tensor,
    rate: float,
) -> None:
    """One step of cross-entropy on float32 N,C,H,W and int64 [N] or float32 [N, K], at a rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    loss = F.cross_entropy(network(batch), targets)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def optimiser_for(network: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Return AdamW, whose decay leaves biases and norms alone."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim == 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, weight_decay=WEIGHT_DECAY, fused=True)


def batches(
    images: np.ndarray, labels: np.ndarray, size: int, steps: int, augment: Augment, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield every step's images, float32 N,C,H,W in [-1, 1], and their targets.

    labels: int64 [N], or float32 [N, K] of weights a class; targets are of the same kind.
    """
    kept = np.float32 if labels.ndim == 2 else np.int64
    order = _Order(len(images), seed)
    for step in range(steps):
        counters = np.arange(step * size, (step + 1) * size)
        members = order[counters]
        batch = to_tensor(images[members])
        if augment == "classical":
            draws = counter_uniform(seed, "classifier-augment", counters, 4)
            batch = augmented(batch, torch.from_numpy(draws).float())
        if augment == "mirror":
            heads = counter_uniform(seed, "classifier-mirror", counters, 1)[:, 0] < 0.5
            batch[heads] = batch[heads].flip(-1)
        yield batch, torch.from_numpy(labels[members].astype(kept))


class _Order:
    """Which image has number k: every image once before any comes again."""

    def __init__(self, total: int, seed: int) -> None:
        self.total, self.seed = total, seed
        self._epochs: dict[int, np.ndarray] = {}

    def __getitem__(self, counters: np.ndarray) -> np.ndarray:
        epochs = counters // self.total
        self._epochs = {int(epoch): self._shuffled(int(epoch)) for epoch in np.unique(epochs)}
        return np.array(
            [self._epochs[int(e)][k % self.total] for e, k in zip(epochs, counters, strict=True)]
        )

    def _shuffled(self, epoch: int) -> np.ndarray:
        if epoch in self._epochs:
            return self._epochs[epoch]
        return generator(self.seed, "classifier-order", "", epoch).permutation(self.total)


def augmented(images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Turn, shift and zoom float N,C,H,W a little; draws: uniform [N, 4]. Edges are replicated."""
    amounts = 2.0 * draws - 1.0
    angle = amounts[:, 0] * math.radians(ROTATION)
    zoom = 1.0 + amounts[:, 1] * ZOOM
    shift = 2.0 * SHIFT * amounts[:, 2:4]  # affine_grid's side is 2 long
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _rate(config: ClassifierConfig, step: int) -> float:
    """Linear up, then half a cosine to 0 (SGDR, arXiv 1608.03983, equation 5)."""
    up = max(1.0, WARM_UP * config.steps)
    falling = max(0.0, (step + 1 - up) / max(1.0, config.steps - up))
    return min(1.0, (step + 1) / up) * 0.5 * config.rate * (1.0 + math.cos(math.pi * falling))


def check_images(images: np.ndarray, shape: tuple[int, int, int]) -> None:
    """Raise ValueError unless images are uint8 [N, H, W, C] of that shape."""
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        raise ValueError(
            f"classifier: found images {images.dtype} {images.shape[1:]}, needed uint8 {shape}; "
            "train it on images of the same kind"
        )


def check_training(images: np.ndarray, labels: np.ndarray, classes: int) -> None:
    """Raise ValueError unless images and labels fit and there are two classes to tell apart."""
    if classes < 2 or len(np.unique(labels)) < 2:
        raise ValueError(
            f"classifier: found images of {len(np.unique(labels))} class and {classes} in all, "
            "needed two or more to tell apart; ingest a set with labels"
        )
    if len(images) != len(labels) or images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(
            f"classifier: found images {images.dtype} {images.shape} and {len(labels)} labels, "
            "needed uint8 [N, H, W, C] and a label each"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"classifier: found labels {labels.min()} to {labels.max()}, needed 0 to {classes - 1}"
        )
