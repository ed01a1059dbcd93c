"""Published image sets by their torchvision name, read from disk or downloaded by torchvision."""

import difflib
import gzip
import importlib
import inspect
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image

from remint.ingest.items import Item, Source, SourceError

# Sets published as IDX files, which are streamed without loading torch.
IDX_CLASSES = {
    "MNIST": tuple("0123456789"),
    "FashionMNIST": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "KMNIST": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}


def torchvision_source(root: Path, name: str) -> Source:
    """Return the set that torchvision calls `name`, from `root` or, failing that, the network.

    MNIST, FashionMNIST and KMNIST are read from their IDX files, packed or not, in `root`,
    `root`/raw or `root`/NAME/raw. The publisher's test images stay in test (those for validation,
    where there are no others); of the rest a hash takes val. Raises SourceError for an unknown name
    and for a set that cannot be had.
    """
    for folder in (root, root / "raw", root / name / "raw"):
        if name in IDX_CLASSES and _idx_file(folder, "train-images-idx3-ubyte"):
            return idx_source(folder, name)
    return _library_source(root, name)


def idx_source(folder: Path, name: str) -> Source:
    """Return a set stored as the four IDX files of MNIST, images streamed, labels in memory."""
    parts = [
        _idx_part(folder, prefix, own_test)
        for prefix, own_test in (("train", False), ("t10k", True))
    ]

    def items() -> Iterator[Item]:
        for _, part in parts:
            yield from part()

    return Source(sum(count for count, _ in parts), items, list(IDX_CLASSES[name]))


def _idx_part(folder: Path, prefix: str, test: bool) -> tuple[int, Callable[[], Iterator[Item]]]:
    images = _needed(folder, f"{prefix}-images-idx3-ubyte")
    with _unpacked(_needed(folder, f"{prefix}-labels-idx1-ubyte")) as file:
        (count,) = _idx_shape(file, 1)
        labels = _exactly(file, count)

    def items() -> Iterator[Item]:
        with _unpacked(images) as file:
            images_told, height, width = _idx_shape(file, 3)
            if images_told != count:
                raise SourceError(
                    f"{images} has {images_told} images, but {count} labels; replace it"
                )
            for row, label in enumerate(labels):
                pixels = np.frombuffer(_exactly(file, height * width), np.uint8)
                yield Item(
                    f"{prefix}#row={row}",
                    pixels.reshape(height, width, 1),
                    label=label,
                    split="test" if test else None,
                    own_test=True,
                )

    return count, items


def _idx_file(folder: Path, stem: str) -> Path | None:
    return next((p for p in (folder / stem, folder / f"{stem}.gz") if p.is_file()), None)


def _needed(folder: Path, stem: str) -> Path:
    file = _idx_file(folder, stem)
    if file is None:
        raise SourceError(f"{folder} has no {stem} or {stem}.gz; add it, the set is incomplete")
    return file


def _unpacked(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _idx_shape(file: BinaryIO, dimensions: int) -> tuple[int, ...]:
    """Read the header of an IDX file: 0, 0, 8 (uint8), the number of dimensions, their sizes."""
    if _exactly(file, 4) != bytes((0, 0, 8, dimensions)):
        raise SourceError(f"{file.name} is not an IDX file of {dimensions} dimensions; replace it")
    return struct.unpack(f">{dimensions}I", _exactly(file, 4 * dimensions))


def _exactly(file: BinaryIO, size: int) -> bytes:
    try:
        data = file.read(size)
    except (OSError, EOFError) as error:
        raise SourceError(f"{file.name} is broken ({error}); replace it") from error
    if len(data) != size:
        raise SourceError(f"{file.name} ends before its last image; replace it")
    return data


def _library_source(root: Path, name: str) -> Source:
    kind = _class(name)
    parts = [(split, _instance(kind, root, given)) for split, given in _variants(kind, root)]
    splits = [split for split, _ in parts]
    own_test = "test" in splits

    def items() -> Iterator[Item]:
        for split, part in parts:
            fixed = None if split == "train" and "val" not in splits else split
            for row in range(len(part)):
                image, label = part[row]
                label = label if isinstance(label, int) else None
                source = f"{split or name}#row={row}"
                yield Item(source, _array(image), label, split=fixed, own_test=own_test)

    count = sum(len(part) for _, part in parts)
    return Source(count, items, _class_names([part for _, part in parts]))


def _class_names(parts: Sequence[Any]) -> list[str]:
    """Return the classes by number; under their numbers where the set does not name them.

    None where the first image has no whole number as its label.
    """
    for name in ("classes", "categories"):
        if names := getattr(parts[0], name, None):
            return [str(known) for known in names]
    if not len(parts[0]) or not isinstance(parts[0][0][1], int):
        return []
    return [str(number) for number in range(1 + max(map(_largest_label, parts)))]


def _largest_label(part: Any) -> int:
    """Return it from the labels that a set holds in memory, else by reading every image."""
    for name in ("targets", "labels"):
        told = np.asarray(getattr(part, name, []))
        if told.shape == (len(part),) and np.issubdtype(told.dtype, np.integer):
            return int(told.max(initial=-1))
    return max((part[row][1] for row in range(len(part))), default=-1)


def _class(name: str) -> Any:
    # Imported here since it loads torch, which no other source needs.
    library = importlib.import_module("torchvision.datasets")
    if name not in library.__all__:
        close = difflib.get_close_matches(name, library.__all__, n=1)
        guess = f", did you mean {close[0]}?" if close else ""
        raise SourceError(f"torchvision has no data set {name!r}{guess}")
    return getattr(library, name)


def _variants(kind: Any, root: Path) -> list[tuple[str | None, dict[str, Any]]]:
    """Return (our split, constructor arguments) for every part a torchvision set comes in."""
    arguments = inspect.signature(kind).parameters
    if "root" not in arguments or "download" not in arguments:
        raise SourceError(
            f"torchvision's {kind.__name__} cannot be built from a folder alone; convert it to a "
            "folder of images and use source: folder"
        )
    if "train" in arguments:
        return [("train", {"train": True}), ("test", {"train": False})]
    if "split" not in arguments:
        return [(None, {})]
    words = ("train", "trainval", "val", "test")
    known = [word for word in words if _knows_split(kind, root, word)]
    if not {"train", "trainval"} & set(known):
        raise SourceError(
            f"torchvision's {kind.__name__} has no part called train or trainval; convert it to a "
            "folder of images and use source: folder"
        )
    known = [word for word in known if word != "trainval" or "train" not in known]
    ours = {"trainval": "train"} | ({} if "test" in known else {"val": "test"})
    return [(ours.get(word, word), {"split": word}) for word in known]


def _knows_split(kind: Any, root: Path, word: str) -> bool:
    try:
        kind(str(root), split=word, download=False)
    except ValueError:  # how torchvision refuses a word, before it looks for files
        return False
    except (RuntimeError, OSError):
        return True
    return True


def _instance(kind: Any, root: Path, given: dict[str, Any]) -> Any:
    with suppress(RuntimeError, OSError):
        return kind(str(root), download=False, **given)
    try:
        root.mkdir(parents=True, exist_ok=True)
        return kind(str(root), download=True, **given)
    except Exception as error:  # torchvision and its archives raise what they like
        reason = " ".join(str(error).split())[:200]
        raise SourceError(
            f"{kind.__name__} is not under {root}, and could not be downloaded ({reason}); put its "
            "files there as torchvision lays them out, or choose another source"
        ) from error


def _array(image: Image.Image) -> np.ndarray:
    pixels = np.array(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
