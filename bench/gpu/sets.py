"""Image sets to measure on, drawn from a seed: one clean set serves both halves."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from remint.core.randomness import generator
from remint.core.stores import Place
from remint.corruptions.composition import Step
from remint.corruptions.config import TrainingConfig
from remint.corruptions.pairs import FIELDS, training_spec
from remint.images import imageset
from remint.images.imageset import ImageSet, Record

CLASSES = 10
HELD_OUT = 40
# what the preset `gpu` draws of everyday damage, while training goes on
KINDS = (
    *("gaussian_blur", "motion_blur", "downscale", "gaussian_noise", "poisson"),
    *("jpeg", "double_jpeg", "scratches", "holes"),
)
DRAWN = TrainingConfig(0, 0.1, 0.6, tuple(Step(kind, (1.0, 5.0), 0.2) for kind in KINDS))


class Sets(NamedTuple):
    """A clean set in ten classes, and the corrupted one whose damage is drawn in training."""

    clean: ImageSet
    corrupted: ImageSet


def draw_sets(folder: Path, size: int, images: int, channels: int = 1) -> Sets:
    """Write both sets of square pictures, `size` px a side; HELD_OUT more lie in val."""
    records = []
    for number in range(images + HELD_OUT):
        picture = drawn(size, number, channels)
        split = "train" if number < images else "val"
        label = number % CLASSES
        records.append(Record(imageset.pixel_id(picture), picture, split, str(number), label))
    names = [str(number) for number in range(CLASSES)]
    metadata = {"class_names": names, "channels": channels}
    imageset.write(folder / "clean", records, metadata=metadata)
    return Sets(ImageSet(folder / "clean"), beside(folder / "corrupted", folder / "clean"))


def drawn(size: int, number: int, channels: int = 1) -> np.ndarray:
    """Return uint8 [size, size, channels]: clouds whose grain and grey follow from the class."""
    stream, label = generator(0, "bench.gpu", str(number)), number % CLASSES
    rough = stream.normal(0.0, 1.0, (size, size, channels)).astype(np.float32)
    smooth = cv2.GaussianBlur(rough, (0, 0), 0.7 + 0.4 * label).reshape(rough.shape)
    scaled = 40.0 * smooth / max(float(smooth.std()), 1e-6) + 80.0 + 10.0 * label
    return scaled.clip(0, 255).astype(np.uint8)


def beside(folder: Path, clean: Place) -> ImageSet:
    """Write a corrupted set without rows, whose damage training draws itself."""
    of = ImageSet(clean)
    metadata = {
        "class_names": [],
        "channels": of.metadata["channels"],
        "seed": 0,
        "clean_fingerprint": of.fingerprint,
        "training": training_spec(DRAWN),
    }
    imageset.write(folder, [], metadata=metadata, extra_fields=FIELDS)
    return ImageSet(folder)


def draw_files(folder: Path, size: int, images: int) -> Path:
    """Write grey PNG files and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(images):
        cv2.imwrite(str(folder / f"{number:03d}.png"), drawn(size, number)[..., 0])
    return folder
