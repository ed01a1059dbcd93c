"""From a source of images to a clean image set: read, fit, drop duplicates, split, count."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from more_itertools import chunked

from remint.core.stores import Place, kept_beside
from remint.core.workers import ordered_map
from remint.images import fitting, imagefile, imageset
from remint.images.imageset import IMAGE, EncodedRecord, Record, pixel_id
from remint.ingest.census import Census, picture_key
from remint.ingest.config import IngestConfig
from remint.ingest.grouping import settle
from remint.ingest.items import Item, Source
from remint.ingest.lookalikes import thumbnail
from remint.ingest.pictures import Pictures
from remint.ingest.remembered import Ids, PictureKeys
from remint.ingest.scenes import Match, matched
from remint.ingest.splits import Shares, split_of

HEADERS = 1024  # files whose headers are looked at before it is asked whether one stores colour


@dataclass(frozen=True)
class Prepared:
    """What became of one item: rows ready to be written, or the problem that it has.

    fixed: the source's own word decided the split; own_test: see `Item`;
    picture: names what was read: rows of one picture are no independent images; size: (height,
    width) as used; sums: per row and channel the sum of pixels and of squares; match: of a real
    pair; thumbnail: see `lookalikes`; small: the problem is the size.
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


def ingest(
    source: Source,
    config: IngestConfig,
    target: Place,
    census: Census,
    watch: Callable[[Iterable[Prepared]], Iterable[Prepared]] = iter,
) -> int:
    """Write the images of `source` as the set at `target` and return the number of rows.

    census is filled on the way, and stays filled when this raises ValueError: for more bad items
    than `max_bad_share` allows, for a split or a class that stays empty, and for no images at all;
    then nothing is written. watch: wraps the items as they get ready, to show progress.
    """
    channels = channel_count(source, config)
    work = partial(prepare, config=config, channels=channels)
    prepared = ordered_map(
        work, source.items(), config.workers, weight=_weight, engine=config.engine
    )
    folder = kept_beside(target.absolute())
    folder.mkdir(parents=True, exist_ok=True)
    census.pictures = PictureKeys(folder)
    pictures, ids = Pictures(folder), Ids(folder)

    def settled(folder: Place) -> None:
        settle(folder, pictures, census, source.class_names)
        census.check(config.max_bad_share, asdict(config.shares), source.class_names)

    return imageset.write(
        target,
        _accepted(watch(prepared), census, pictures, ids),
        metadata={
            "class_names": source.class_names,
            "channels": channels,
            "created": _created(config),
        },
        extra_fields=[pa.field("damaged", IMAGE)] if source.paired else [],
        shard_bytes=config.shard_megabytes * 2**20,
        settle=settled,
    )


def _created(config: IngestConfig) -> dict[str, Any]:
    """Return the settings that shape the content: not where it lay, nor how many read it."""
    return {k: v for k, v in asdict(config).items() if k not in ("path", "workers", "engine")}


def channel_count(source: Source, config: IngestConfig) -> int:
    """Return 1 or 3 by the colour setting; `auto` looks at headers until one stores colour."""
    if config.colour != "auto":
        return 1 if config.colour == "grey" else 3
    for part in chunked(source.items(), HEADERS):  # each to its end: joblib warns of less
        if any(list(ordered_map(_coloured, part, config.workers, batch=64))):
            return 3
    return 1


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
        return named(problem=str(error), small=isinstance(error, fitting.TooSmallError))
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


def _accepted(
    prepared: Iterable[Prepared], census: Census, pictures: Pictures, ids: Ids
) -> Iterator[EncodedRecord]:
    """Yield the rows to write, each pixel content once."""
    for one in prepared:
        census.item(one.source, one.label, one.size, one.problem, one.small)
        census.match(one.match)
        start, first = len(ids), None
        for record, sums in zip(one.rows, one.sums, strict=True):
            earlier = ids.earlier(bytes.fromhex(record.row["id"]), one.label)
            if earlier is not None:
                census.duplicates += 1
                first = first or earlier
                continue
            census.row(record.row, sums, one.picture)
            yield record
        count = len(ids) - start
        if one.thumbnail and count:
            key, split = picture_key(one.picture), one.rows[0].row["split"]
            pictures.add(one.thumbnail, key, start, count, split, one.fixed, one.own_test)
        elif first and not count and one.label is not None and first[1] not in (None, one.label):
            census.repeated.append((first[0], one.source, one.label))


def _pixels(
    image: Path | np.ndarray | Callable[[], np.ndarray], config: IngestConfig
) -> np.ndarray:
    if isinstance(image, np.ndarray):
        return image
    if callable(image):
        return image()
    return imagefile.read(image, max_pixels=config.max_pixels, background=config.background)


def _need_one_size(images: list[np.ndarray]) -> None:
    sizes = {image.shape[:2] for image in images}
    if len(sizes) > 1:
        told = " and ".join(f"{i.shape[1]} x {i.shape[0]}" for i in images)
        raise imagefile.ImageFileError(f"clean and damaged differ in size ({told})")


def _weight(item: Item) -> int:
    """Return the bytes that an item takes in its file, or in memory."""
    if isinstance(item.image, np.ndarray):
        return item.image.nbytes
    if callable(item.image):
        return 0
    with suppress(OSError):
        return sum(os.path.getsize(file) for file in (item.image, item.damaged) if file)
    return 0


def _coloured(item: Item) -> bool:
    if isinstance(item.image, np.ndarray):
        return item.image.shape[2] == 3
    if callable(item.image):
        return True
    try:
        files = [file for file in (item.image, item.damaged) if file and not item.problem]
        return any(imagefile.stored_in_colour(file) for file in files)
    except imagefile.ImageFileError:
        return False  # it will stand in quarantine with its reason


def _sums(image: np.ndarray) -> np.ndarray:
    total = image.sum(axis=(0, 1), dtype=np.uint64)
    squares = np.einsum("hwc,hwc->c", image, image, dtype=np.uint64)
    return np.stack([total, squares]).astype(np.float64)
