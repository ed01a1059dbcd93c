"""One item of a source made ready: read, fitted, cut, encoded, or found to be no use."""

import errno
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from remint.images import fitting, imagefile, imageset
from remint.images.imageset import EncodedRecord, Record, pixel_id
from remint.ingest.config import IngestConfig
from remint.ingest.items import Item
from remint.ingest.lookalikes import thumbnail
from remint.ingest.scenes import Match, matched
from remint.ingest.splits import Shares, split_of

GONE = (None, errno.ENOENT)


@dataclass(frozen=True)
class Prepared:
    """What became of one item: rows ready to be written, or the problem that it has.

    fixed: the source's own word decided the split; own_test: see `Item`;
    picture: names what was read: rows of one picture are no independent images; size: (height,
    width) as used; sums: per row and channel the sum of pixels and of squares; match: of a real
    pair; thumbnail: see `lookalikes`; small: the problem is the size;
    passing: the problem lies with the disk or the rights, not in the file.
    """

    source: str
    label: int | None = None
    fixed: bool = False
    own_test: bool = False
    rows: tuple[EncodedRecord, ...] = ()
    sums: tuple[np.ndarray, ...] = ()
    size: tuple[int, int] = (0, 0)
    picture: str = ""
    match: Match | None = None
    thumbnail: bytes = b""
    problem: str | None = None
    small: bool = False
    passing: bool = False


def prepare(item: Item, config: IngestConfig, channels: int) -> Prepared:
    """Read, fit and encode one item; depends on the arguments alone, so any worker may do it."""
    named = partial(Prepared, item.source, item.label, item.split is not None, item.own_test)
    if item.problem is not None:
        return named(problem=item.problem)
    try:
        whole = [
            _pixels(image, config) for image in (item.image, item.damaged) if image is not None
        ]
        _need_one_size(whole)
        match = None
        if item.damaged and config.pairs.least_correlation:
            match, *whole = matched(whole[0], whole[1], config.pairs)
        images = [
            [imagefile.to_channels(one, channels) for one in fitting.at_sides(image, config.sides)]
            for image in whole
        ]
        fit = partial(fitting.fit_each, mode=config.fit, size=config.size)
        parts = [list(fit(sizes, background=config.background)) for sizes in images]
    except (imagefile.ImageFileError, fitting.TooSmallError) as error:
        small = isinstance(error, fitting.TooSmallError)
        return named(problem=str(error), small=small, passing=_of_the_disk(error))
    several = config.fit == "tiles" or len(config.sides) > 1 or item.damaged
    key = pixel_id(images[0][0]) if several else None
    records = [_record(item, layers, key, config) for layers in zip(*parts, strict=True)]
    height, width, _ = whole[0].shape
    rows = tuple(imageset.encode(record) for record in records)
    sums = tuple(_sums(record.image) for record in records)
    picture = item.group or key or records[0].id
    shown = thumbnail(images[0][0]) if config.near_duplicates == "group" else b""
    return named(rows, sums, (height, width), picture, match, shown)


def _record(
    item: Item, layers: tuple[tuple[str, np.ndarray], ...], key: str | None, config: IngestConfig
) -> Record:
    """Build a row; key: what the split hangs on where that is not the row's own id."""
    where, image = layers[0]
    id = pixel_id(image)
    extra = {"damaged": layers[1][1]} if item.damaged else {}
    if item.damaged:  # one clean image may have several damaged ones
        id = pixel_id(np.concatenate([image, layers[1][1]]))
    split = item.split or split_of(item.group or key or id, _shares(item, config), config.seed)
    return Record(id, image, split, item.source + where, item.label, extra)


def _shares(item: Item, config: IngestConfig) -> Shares:
    rest = config.shares.train + config.shares.val
    if not item.own_test or rest == 0:
        return config.shares
    return Shares(config.shares.train / rest, config.shares.val / rest, 0.0)


def _pixels(image: Path | np.ndarray | partial[np.ndarray], config: IngestConfig) -> np.ndarray:
    if isinstance(image, np.ndarray):
        return image
    if isinstance(image, partial):
        return image()
    return imagefile.read(image, max_pixels=config.max_pixels, background=config.background)


def _need_one_size(images: list[np.ndarray]) -> None:
    sizes = {image.shape[:2] for image in images}
    if len(sizes) > 1:
        told = " and ".join(f"{i.shape[1]} x {i.shape[0]}" for i in images)
        raise imagefile.ImageFileError(f"clean and damaged differ in size ({told})")


def _of_the_disk(error: Exception) -> bool:
    """Say whether the system refused a file that is there; what decoders find has no number."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno not in GONE


def _sums(image: np.ndarray) -> np.ndarray:
    total = image.sum(axis=(0, 1), dtype=np.uint64)
    squares = np.einsum("hwc,hwc->c", image, image, dtype=np.uint64)
    return np.stack([total, squares]).astype(np.float64)
