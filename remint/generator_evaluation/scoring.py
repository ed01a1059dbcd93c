"""How good a generator is: distances and neighbour figures in several spaces, each with its floor.

The reference are real images of train. `floor` is the same figure for held-out real images (val
and test): what a perfect generator would get at this N, from images that it has not seen. A figure
below its minimum of images is left out, and a note says so.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge, Le

from remint.classifier.train import ClassifierConfig
from remint.core.randomness import generator
from remint.core.ranges import Seed
from remint.generator_evaluation.features import by_hash
from remint.images.imageset import ImageSet
from remint.metrics.features import Extractor, cached_features
from remint.metrics.frechet import frechet_distance_of_features
from remint.metrics.kernel import kernel_distance
from remint.metrics.neighbours import neighbour_scores
from remint.metrics.published import PublishedWeights
from remint.metrics.validity import FD_FIGURE, FD_TREND, KID_LEAST, NEIGHBOURS_LEAST

MINTED_AT_ONCE = 256

T = TypeVar("T")
Row = dict[str, Any]
Watch = Callable[[Iterable[T], int, str], Iterable[T]]


class Mint(Protocol):
    """What is measured: remint.generator.generator.Minter, or something with its methods."""

    channels: int
    size: int
    class_names: list[str]
    classes: int
    card: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Name of the weights."""
        ...

    def mint(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """int64 [N], int64 [N] -> uint8 [N, S, S, C]."""
        ...

    def latents(self, seeds: np.ndarray) -> torch.Tensor:
        """int64 [N] -> float32 [N, latent]."""
        ...

    def decode(self, latents: torch.Tensor, labels: np.ndarray) -> np.ndarray:
        """float32 [N, latent], int64 [N] -> uint8 [N, S, S, C]."""
        ...


@dataclass(frozen=True)
class GeneratorGalleryConfig:
    """columns: images a class in a grid and a row; steps: of an interpolation; classes: at most."""

    columns: Annotated[int, Ge(1), Le(100)]
    steps: Annotated[int, Ge(2), Le(100)]
    classes: Annotated[int, Ge(1), Le(1000)]


@dataclass(frozen=True)
class EvaluateGeneratorConfig:
    """What evaluate_generator measures; the values stand in params.yaml.

    published_weights: of FID, `present` where they lie on this disk alone, or `auto`, fetched once.
    images: a side for pretrained networks; classifier_images: a side in the space of the set's own
    classifier, which is far faster; images_per_class: minted for accuracy and KID of each class;
    search_images: train images at most in which neighbours are looked for; training_images: train
    images at most that the classifier learns from; cache: folder of features and classifiers that
    are kept by content.
    """

    seed: Seed
    device: Literal["auto", "cpu", "cuda"]
    published_weights: PublishedWeights
    images: Annotated[int, Ge(2), Le(10**7)]
    classifier_images: Annotated[int, Ge(2), Le(10**7)]
    images_per_class: Annotated[int, Ge(2), Le(10**6)]
    search_images: Annotated[int, Ge(2), Le(10**7)]
    training_images: Annotated[int, Ge(2), Le(10**8)]
    classifier: ClassifierConfig
    gallery: GeneratorGalleryConfig
    cache: str

    def __post_init__(self) -> None:
        if self.training_images < self.classifier.batch:
            raise ValueError(
                f"training_images: found {self.training_images}, needed classifier.batch "
                f"({self.classifier.batch}) or more"
            )


@dataclass(frozen=True)
class Reals:
    """The real side: frames of train, and of val with test, in hashed order.

    watch: is shown the images whose features are not in the folder `cache`, as they pass.
    """

    clean: ImageSet
    reference: pd.DataFrame
    held_out: pd.DataFrame
    cache: Path
    watch: Watch[np.ndarray]

    def features(self, extractor: Extractor, rows: pd.DataFrame) -> np.ndarray:
        """Return float32 [N, D] of some rows, from the cache where they are in it."""
        return cached_features(
            self.cache,
            extractor,
            self.clean.fingerprint,
            list(rows["id"]),
            lambda: self.watch(self.images(rows), len(rows), f"real {extractor.name}"),
        )

    def images(self, rows: pd.DataFrame) -> Iterator[np.ndarray]:
        """Yield uint8 HWC images of some rows."""
        return (self.clean.at(int(position))[1] for position in rows["position"])


def read_reals(
    clean: ImageSet, mint: Mint, config: EvaluateGeneratorConfig, watch: Watch[np.ndarray]
) -> Reals:
    """Choose the real rows; ValueError where the set and the generator do not belong together."""
    train, frame = clean.frame("train"), clean.frame()
    if train.empty:
        raise ValueError(f"{clean.path} has no training images to compare with; ingest some.")
    if clean.class_names != mint.class_names:
        raise ValueError(
            f"{clean.path} has the classes {clean.class_names}, the generator {mint.class_names}; "
            "evaluate it on the set that it was trained on."
        )
    shapes = {tuple(map(int, r)) for r in train[["height", "width", "channels"]].to_numpy()}
    needed = (mint.size, mint.size, mint.channels)
    if shapes != {needed}:
        raise ValueError(
            f"{clean.path} has images of height, width and channels {sorted(shapes)[:3]}, the "
            f"generator makes {needed}; evaluate it on the set that it was trained on."
        )
    held_out = frame[frame["split"] != "train"]
    reference, held_out = (by_hash(part, config.seed, "evaluate") for part in (train, held_out))
    return Reals(clean, reference, held_out, Path(config.cache), watch)


def labels_of(rows: pd.DataFrame, classes: int) -> np.ndarray:
    """Return int64 [N]; 0 for all in a set of one class."""
    return np.zeros(len(rows), np.int64) if classes == 1 else rows["label"].to_numpy(np.int64)


def seeds_for(seed: int, purpose: str, count: int) -> np.ndarray:
    """Return int64 [count] seeds of images; a longer answer starts with the shorter one."""
    return generator(seed, "evaluate-generator", purpose).integers(2**62, size=count)


def minted(mint: Mint, labels: np.ndarray, seeds: np.ndarray) -> Iterator[np.ndarray]:
    """Yield uint8 HWC images one by one; memory holds one batch."""
    for start in range(0, len(labels), MINTED_AT_ONCE):
        part = slice(start, start + MINTED_AT_ONCE)
        yield from mint.mint(labels[part], seeds[part])


@dataclass(frozen=True)
class Scored:
    """row: a space's figures, those that are valid at its N; notes: what is absent, and why."""

    row: Row
    notes: list[str]


def score_space(mint: Mint, reals: Reals, extractor: Extractor, asked: int, seed: int) -> Scored:
    """Compare minted images with real ones in one space, `asked` a side or as many as there are.

    Minted labels are those of the reference images, so both sides have the same mix of classes.
    """
    count = min(asked, len(reals.reference))
    rows = reals.reference.head(count)
    labels = labels_of(rows, mint.classes)
    real = reals.features(extractor, rows)
    images = minted(mint, labels, seeds_for(seed, "sample", count))
    fake = extractor(reals.watch(images, count, f"minted {extractor.name}"))
    held = None
    if len(reals.held_out) >= count:
        held = reals.features(extractor, reals.held_out.head(count))
    facts = {"space": extractor.name, "version": extractor.version, "images": count}
    row = facts | set_figures(real, fake, held)
    return Scored(row, _notes(extractor.name, count, asked, len(reals.held_out)))


def set_figures(real: np.ndarray, fake: np.ndarray, held: np.ndarray | None) -> Row:
    """Return every figure that is valid for features of equally many images a side."""
    figures = _against(real, fake)
    if held is not None:
        floors = _against(real, held)
        figures |= {f"{name}_floor": value for name, value in floors.items() if name != "kid_se"}
    return figures


def _against(real: np.ndarray, fake: np.ndarray) -> Row:
    count = min(len(real), len(fake))
    figures: Row = {}
    if count >= KID_LEAST:
        kid = kernel_distance(real, fake)
        figures |= {"kid": kid.mean, "kid_se": kid.standard_error}
    if count >= NEIGHBOURS_LEAST:
        figures |= vars(neighbour_scores(real, fake))
    if count >= FD_TREND:
        figures["fd"] = frechet_distance_of_features(real, fake)
    return figures


def _notes(name: str, count: int, asked: int, held_out: int) -> list[str]:
    notes = [f"{name}: {count} minted images against {count} real ones of train."]
    if count < asked:
        notes.append(f"{name}: {asked} images a side were asked for, train has {count}.")
    if held_out < count:
        notes.append(f"{name}: no floors; {held_out} real held-out images are fewer than {count}.")
    minimums = {
        "KID": KID_LEAST,
        "precision, recall, density and coverage": NEIGHBOURS_LEAST,
        "Frechet distance": FD_TREND,
    }
    absent = {what: least for what, least in minimums.items() if count < least}
    notes += [f"{name}: no {what}; it needs {n} images a side." for what, n in absent.items()]
    if FD_TREND <= count < FD_FIGURE:
        notes.append(
            f"{name}: the Frechet distance at {count} images is a trend, to be read beside its "
            f"floor; as a figure it needs {FD_FIGURE}."
        )
    return notes
