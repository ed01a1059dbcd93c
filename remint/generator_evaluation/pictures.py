"""Pictures of what a generator makes, as sheets of one row or one grid a class."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from remint.generator_evaluation.classes import ClassSample
from remint.generator_evaluation.features import ThumbnailExtractor
from remint.generator_evaluation.scoring import GeneratorGalleryConfig, Mint, Reals, seeds_for
from remint.images.sheets import SIDE, sheet
from remint.metrics.features import Extractor
from remint.metrics.nearest import nearest_rows

SPHERE_LEAST = 1e-4  # radians, below which two latents point the same way


@dataclass(frozen=True)
class Picture:
    """group: samples, class, interpolation, nearest, best, worst; rows: what each row shows."""

    group: str
    name: str
    title: str
    rows: list[str]
    image: np.ndarray


@dataclass(frozen=True)
class Shown:
    """What the sheets of one generator need: the first classes, and fixed seeds for each."""

    mint: Mint
    config: GeneratorGalleryConfig
    seed: int

    @property
    def labels(self) -> range:
        """The classes that are drawn."""
        return range(min(self.mint.classes, self.config.classes))

    def title(self, label: int) -> str:
        """Return the class's name."""
        return self.mint.class_names[label] if self.mint.class_names else "images"

    def samples(self, label: int, count: int) -> np.ndarray:
        """Return the first fixed images of a class, uint8 [N, S, S, C]."""
        seeds = seeds_for(self.seed, f"pictures {label}", count)
        return self.mint.mint(np.full(count, label, np.int64), seeds)

    def titles(self) -> list[str]:
        """Return the names of the classes drawn."""
        return [self.title(label) for label in self.labels]


def pictures(shown: Shown, reals: Reals, space: Extractor | None, search: int) -> Iterator[Picture]:
    """Yield sheets that need no classifier: samples, a grid a class, interpolations, neighbours.

    space: features in which neighbours are looked for beside small pixels; search: train images
    among which they are.
    """
    columns = shown.config.columns
    rows = [shown.samples(label, columns) for label in shown.labels]
    yield _sheet("samples", "samples", "Fixed samples, not chosen", shown.titles(), rows)
    for label in shown.labels:
        grid = shown.samples(label, columns * max(1, columns // 2))
        lines = np.split(grid, max(1, columns // 2))
        title = shown.title(label)
        yield _sheet("class", f"class-{label:03d}", title, [], lines)
    walks = [interpolation(shown, label) for label in shown.labels]
    title = "Between two latents of a class"
    yield _sheet("interpolation", "interpolation", title, shown.titles(), walks)
    yield from _neighbours(shown, reals, space, search)


def pictures_by_confidence(shown: Shown, samples: Sequence[ClassSample]) -> Iterator[Picture]:
    """Yield the images of each class that the classifier is surest and least sure of."""
    for group, sign in (("best", -1.0), ("worst", 1.0)):
        rows = []
        for sample in samples[: len(shown.labels)]:
            order = np.argsort(sign * sample.confidence, kind="stable")[: shown.config.columns]
            labels = np.full(len(order), sample.label, np.int64)
            rows.append(shown.mint.mint(labels, sample.seeds[order]))
        count = len(samples[0].seeds)
        title = f"{group.capitalize()} of {count} a class by the classifier's confidence"
        yield _sheet(group, group, title, shown.titles(), rows)


def interpolation(shown: Shown, label: int) -> np.ndarray:
    """Return uint8 [steps, S, S, C] on the way from one latent to another."""
    ends = shown.mint.latents(seeds_for(shown.seed, f"ends {label}", 2))
    shares = torch.linspace(0.0, 1.0, shown.config.steps, dtype=ends.dtype)
    way = torch.stack([slerp(ends[0], ends[1], float(share)) for share in shares])
    return shown.mint.decode(way, np.full(len(way), label, np.int64))


def slerp(start: torch.Tensor, end: torch.Tensor, share: float) -> torch.Tensor:
    """Go along the great circle between latents [D] (White, arXiv 1609.04468, section 2.1).

    A straight line would pass through short latents, which a generator hardly ever sees.
    """
    cosine = torch.dot(start, end) / (start.norm() * end.norm())
    angle = torch.arccos(cosine.clamp(-1.0, 1.0))
    if angle < SPHERE_LEAST:
        return torch.lerp(start, end, share)
    first, second = torch.sin((1.0 - share) * angle), torch.sin(share * angle)
    return (first * start + second * end) / torch.sin(angle)


def _neighbours(
    shown: Shown, reals: Reals, space: Extractor | None, search: int
) -> Iterator[Picture]:
    """Yield a sheet a class: the samples, and below each its nearest training image."""
    rows = reals.reference.head(search)
    spaces: list[Extractor] = [ThumbnailExtractor(), *([space] if space else [])]
    known = [reals.features(extractor, rows) for extractor in spaces]
    names = ["minted", *(f"nearest training image, {extractor.name}" for extractor in spaces)]
    for label in shown.labels:
        images = shown.samples(label, shown.config.columns)
        lines: list[Iterable[np.ndarray]] = [images]
        for extractor, features in zip(spaces, known, strict=True):
            nearest = nearest_rows(extractor(images), features, 1).indices[:, 0]
            lines.append(reals.images(rows.iloc[nearest]))
        title = f"{shown.title(label)}: nearest of {len(rows)} training images"
        yield _sheet("nearest", f"nearest-{label:03d}", title, names, lines)


def _sheet(
    group: str, name: str, title: str, names: list[str], rows: Iterable[Iterable[np.ndarray]]
) -> Picture:
    small = [[_shrunk(image) for image in row] for row in rows]
    return Picture(group, name, title, names, sheet(small))


def _shrunk(image: np.ndarray) -> np.ndarray:
    """Shrink uint8 HWC to a side of at most 128 px, so that a sheet fits a page."""
    side = max(image.shape[:2])
    if side <= SIDE:
        return image
    size = tuple(max(1, round(n * SIDE / side)) for n in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], -1)
