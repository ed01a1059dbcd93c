"""Labelled images in memory: read from a set, cut to fractions, freed of near-duplicates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from remint.core.randomness import philox_key
from remint.images.imageset import ImageSet

UNLABELLED = -1
SOFT_LABEL = "soft_label"  # column of a probability a class


@dataclass(frozen=True)
class Labelled:
    """images: uint8 [N, H, W, C]; labels: int64 [N], -1 where there is none; ids: N texts.

    soft: float32 [N, K], somebody's probabilities of the classes; None where nobody said.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: tuple[str, ...]
    soft: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def take(self, indices: np.ndarray) -> "Labelled":
        """Return the images at `indices`, in that order, one as often as it is named."""
        ids = tuple(self.ids[index] for index in indices)
        soft = None if self.soft is None else self.soft[indices]
        return Labelled(self.images[indices], self.labels[indices], ids, soft)


def read(source: ImageSet, split: str | None = None) -> Labelled:
    """Read a set, or a split of it, into memory, with its column `soft_label` if it has one.

    ValueError where sizes differ or none is there.
    """
    images, labels, ids, soft = [], [], [], []
    for row, image in source.images(split):
        images.append(image)
        labels.append(UNLABELLED if row["label"] is None else row["label"])
        ids.append(row["id"])
        soft.append(row.get(SOFT_LABEL))
    what = str(source.path) if split is None else f"{split} of {source.path}"
    if not images:
        raise ValueError(f"{what} has no images; usefulness and copies need some.")
    if len({image.shape for image in images}) > 1:
        raise ValueError(f"{what} has images of several sizes; ingest them with a fixed fit.")
    known = np.array(soft, np.float32) if all(row is not None for row in soft) else None
    return Labelled(np.stack(images), np.array(labels, np.int64), tuple(ids), known)


def joined(parts: Sequence[Labelled]) -> Labelled:
    """Return all parts behind one another; parts without soft labels have none in the whole."""
    ids = tuple(name for part in parts for name in part.ids)
    images = np.concatenate([part.images for part in parts])
    known = [part.soft for part in parts if part.soft is not None]
    soft = np.concatenate(known) if len(known) == len(parts) else None
    return Labelled(images, np.concatenate([part.labels for part in parts]), ids, soft)


def first_of_each_class(real: Labelled, per_class: int) -> Labelled:
    """Return `per_class` images of each class, chosen by a hash of their ids, in their order.

    A smaller fraction lies inside a larger one, and the choice is the same in every run.
    ValueError where a class has fewer.
    """
    ranks = np.array([philox_key(0, "fraction", name) for name in real.ids], dtype=object)
    order = np.argsort(ranks, kind="stable")
    chosen: list[int] = []
    for name in np.unique(real.labels):
        indices = order[real.labels[order] == name]
        if len(indices) < per_class:
            raise ValueError(
                f"class {name} has {len(indices)} training images, a fraction asks for "
                f"{per_class}; take a smaller one."
            )
        chosen += indices[:per_class].tolist()
    return real.take(np.array(sorted(chosen)))


def check_alike(clean: ImageSet, synthetic: ImageSet) -> None:
    """Raise ValueError where two sets differ in their classes."""
    if clean.class_names != synthetic.class_names:
        raise ValueError(
            f"{synthetic.path} has the classes {synthetic.class_names}, {clean.path} has "
            f"{clean.class_names}; export it from a generator trained on this set."
        )
