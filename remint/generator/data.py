"""Labelled training images by number, for the generator.

errors:
    ValueError   no training image, or images of several sizes
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, Self

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge, Le

from remint.core.arrays import scale
from remint.core.randomness import counter_uniform, generator
from remint.core.ranges import Share, Workers
from remint.images.decoded import DecodedImages, decoded
from remint.images.imageset import ImageSet
from remint.training.feeding import feed, keeps_in_memory


@dataclass(frozen=True)
class LabelledDataConfig:
    """How images are fed.

    batch: images a round, over all processes (as many again are drawn for the generator's step);
    flip: mirror half of them; balanced: every class equally often, however many images it has;
    workers, memory_share: as for the restorer.
    """

    batch: Annotated[int, Ge(2), Le(65_536)]
    flip: bool
    balanced: bool
    workers: Workers
    memory_share: Share


@dataclass(frozen=True)
class LabelledBatch:
    """One round: counters [N] name its draws; reals float32 N,C,S,S in [-1, 1] for either side.

    images: of all processes; round: its number in the run.
    """

    images: int
    round: int
    counters: torch.Tensor
    real: torch.Tensor
    labels: torch.Tensor
    generator_real: torch.Tensor
    generator_labels: torch.Tensor

    def chunks(self, parts: int) -> list[Self]:
        """Split into equal parts (fewer where there are fewer images)."""
        names = ("counters", "real", "labels", "generator_real", "generator_labels")
        split = zip(*(getattr(self, name).chunk(parts) for name in names), strict=True)
        return [replace(self, **dict(zip(names, part, strict=True))) for part in split]

    def to(self, device: torch.device) -> Self:
        """Move all but the counters to the device, images channels-last."""
        last = torch.channels_last
        return replace(
            self,
            real=self.real.to(device, memory_format=last, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            generator_real=self.generator_real.to(device, memory_format=last, non_blocking=True),
            generator_labels=self.generator_labels.to(device, non_blocking=True),
        )


class LabelledSource:
    """The training images of one run; both sides of the game draw their own order of them."""

    def __init__(self, clean: ImageSet, config: LabelledDataConfig, seed: int) -> None:
        self.clean, self.config, self.seed = clean, config, seed
        frame = clean.frame("train")
        sizes = sorted(set(zip(frame["height"], frame["width"], strict=True)))
        if frame.empty or len(sizes) > 1 or sizes[0][0] != sizes[0][1]:
            raise ValueError(
                f"{clean.path}: found training images of {len(sizes)} sizes {sizes[:3]}, needed "
                "square ones of one size; set ingest.fit to resize, crop, pad or tiles"
            )
        self.size = int(sizes[0][0])
        self.channels = int(clean.metadata["channels"])
        self.class_names = clean.class_names
        self.labels = class_numbers(frame["label"], len(self.class_names), str(clean.path))
        self.positions = frame["position"].to_numpy()
        self.members = [np.flatnonzero(self.labels == c) for c in np.unique(self.labels)]
        self._remember()
        need = len(frame) * self.size**2 * self.channels
        self.stack: np.ndarray | DecodedImages | None
        if keeps_in_memory(need, config.memory_share, config.workers):
            self.stack = np.stack([i for _, i in clean.images("train")])
        else:
            self.stack = decoded(clean, "train")

    def _remember(self) -> None:
        """A balanced order turns through the permutations of all classes, for either side."""
        self._shuffled = lru_cache(maxsize=4 * (len(self.members) + 2))(self._permutation)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_shuffled"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._remember()

    def __len__(self) -> int:
        """Return the number of training images."""
        return len(self.positions)

    def pixels(self, members: np.ndarray) -> np.ndarray:
        """Return uint8 [N, S, S, C] of training images by number."""
        if self.stack is not None:
            return self.stack[members]
        return np.stack([self.clean.at(int(self.positions[m]))[1] for m in members])

    def _permutation(self, side: str, total: int, epoch: int, group: int) -> np.ndarray:
        return generator(self.seed, f"order-{side}", str(group), epoch).permutation(total)

    def _member(self, side: str, k: int) -> int:
        if not self.config.balanced:
            total = len(self)
            return int(self._shuffled(side, total, k // total, -1)[k % total])
        classes = len(self.members)
        turn = k // classes
        group = int(self._shuffled(side, classes, turn, -2)[k % classes])
        own = self.members[group]
        return int(own[self._shuffled(side, len(own), turn // len(own), group)[turn % len(own)]])

    def _drawn(self, side: str, counters: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        members = np.array([self._member(side, int(k)) for k in counters])
        pixels = self.pixels(members)
        if self.config.flip:
            mirror = counter_uniform(self.seed, f"flip-{side}", counters, 1)[:, 0] < 0.5
            pixels = np.where(mirror[:, None, None, None], pixels[:, :, ::-1], pixels)
        tensor = torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 1)))
        return scale(tensor), torch.from_numpy(self.labels[members])

    def __getitem__(self, counters: np.ndarray) -> tuple[torch.Tensor, ...]:
        """Return counters, then reals and labels for the discriminator's and generator's steps."""
        sides = self._drawn("discriminator", counters), self._drawn("generator", counters)
        return torch.from_numpy(counters), *sides[0], *sides[1]


def class_numbers(column: pd.Series, classes: int, path: str) -> np.ndarray:
    """Return int64 [N]: the labels, or zeros for a set without classes.

    Raises ValueError where some images have a label and others do not.
    """
    if classes == 0:
        return np.zeros(len(column), np.int64)
    missing = int(column.isna().sum())
    if missing:
        raise ValueError(
            f"{path}: {missing} images have no label and others do; label them all, or "
            "ingest the set without labels"
        )
    return column.to_numpy(np.int64)


def labelled_batches(source: LabelledSource, first: int) -> Iterator[LabelledBatch]:
    """Yield rounds from image `first` on, the same whatever the number of workers."""
    config = source.config
    fed = feed(source, first, config.batch, config.workers)
    for number, tensors in enumerate(fed, first // config.batch):
        yield LabelledBatch(config.batch, number, *tensors)
