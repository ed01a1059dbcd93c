"""Decoded images in a file that processes share: each set's split is decoded once, then mapped.

A folder CACHE/SET-SPLIT-FINGERPRINT holds `pixels` (uint8, image after image) and `index.npy`.
Pages of a mapped file are the system's to keep or drop, so a set larger than memory is read from
disk, and processes that read the same pages hold them once.
"""

import errno
import shutil
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from remint.core.atomic import replaced_folder
from remint.core.stores import kept_beside
from remint.images.imageset import ImageSet

PIXELS, INDEX = "pixels", "index.npy"
SPARE = 2**30  # bytes that stay free on the disk


class DecodedImages:
    """One split's images, uint8 HWC, by number in the order of the set; pickled, it is its path.

    chosen: numbers of the images that members 0, 1, .. stand for; None: themselves.
    """

    def __init__(self, folder: Path, chosen: np.ndarray | None = None) -> None:
        self.folder, self.chosen = folder, chosen

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "chosen": self.chosen}

    @cached_property
    def index(self) -> np.ndarray:
        """int64 [N, 5]: position in the set, first byte, height, width, channels."""
        return np.load(self.folder / INDEX)

    @cached_property
    def pixels(self) -> np.ndarray:
        """uint8 [bytes], mapped to be read alone: so it counts as no memory of this process."""
        return np.memmap(self.folder / PIXELS, np.uint8, "r")

    @cached_property
    def _equal(self) -> np.ndarray | None:
        """uint8 [N, H, W, C] where all have one size."""
        sizes = self.index[:, 2:]
        return self.pixels.reshape(-1, *sizes[0]) if (sizes == sizes[0]).all() else None

    def at(self, positions: np.ndarray) -> "DecodedImages":
        """Return those at these positions of the set, each of which must be in the split."""
        return DecodedImages(self.folder, np.searchsorted(self.index[:, 0], positions))

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.index if self.chosen is None else self.chosen)

    def __getitem__(self, member: int | np.ndarray) -> np.ndarray:
        """Return an image, mapped, or for an array of members uint8 [N, H, W, C] of one size."""
        number = member if self.chosen is None else self.chosen[member]
        if self._equal is not None:
            return self._equal[number]
        if isinstance(member, np.ndarray):
            return np.stack([self[int(one)] for one in member])
        _, first, *shape = map(int, self.index[number])
        return self.pixels[first : first + int(np.prod(shape))].reshape(shape)


def decoded(images: ImageSet, split: str) -> DecodedImages | None:
    """Return the split's decoded images, made now if nobody has; None, with a warning, if it can't.

    They lie in `cache/decoded` beside the set (of one in a store in the user's cache); those of the
    set's earlier content are removed.
    """
    cache = kept_beside(images.path) / "cache/decoded"
    kind = f"{images.path.name}-{split}-"
    folder = cache / f"{kind}{images.fingerprint}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{kind}lock"):
            if not folder.is_dir():
                _make(images, split, folder)
        found = DecodedImages(folder)
        found.pixels  # noqa: B018 - where it can't be mapped this raises now
    except OSError as error:
        warnings.warn(f"{cache}: {error}; images are decoded anew each time", stacklevel=2)
        return None
    for old in cache.glob(f"{kind}*"):
        if old.is_dir() and old != folder:
            shutil.rmtree(old, ignore_errors=True)
    return found


def _make(images: ImageSet, split: str, folder: Path) -> None:
    frame = images.frame(split)
    sizes = frame[["height", "width", "channels"]].to_numpy(np.int64)
    counts = sizes.prod(axis=1)
    if int(counts.sum()) + SPARE > shutil.disk_usage(folder.parent).free:
        raise OSError(errno.ENOSPC, f"no room for {counts.sum():,} bytes of decoded images")
    firsts = np.concatenate([[0], counts.cumsum()[:-1]])
    index = np.column_stack([frame["position"].to_numpy(np.int64), firsts, sizes])
    with replaced_folder(folder) as fresh:
        np.save(fresh / INDEX, index)
        with (fresh / PIXELS).open("wb") as file:
            for _, image in images.images(split):
                file.write(np.ascontiguousarray(image).tobytes())
