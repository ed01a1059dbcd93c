"""From a source of images to a clean image set: read, fit, drop duplicates, split, count."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from more_itertools import chunked

from remint.core.engines import ADDRESS
from remint.core.stores import Place, kept_beside
from remint.core.workers import ordered_map
from remint.images import imagefile, imageset
from remint.images.imagerows import set_schema
from remint.images.imageset import IMAGE, EncodedRecord
from remint.images.stored import drop_folder, made_alone, resumed_folder
from remint.ingest.census import Census, picture_key
from remint.ingest.config import IngestConfig
from remint.ingest.grouping import settle
from remint.ingest.items import Item, Source
from remint.ingest.parts import ItemPartMaker, planned_parts, read_part, work_of
from remint.ingest.pictures import Pictures
from remint.ingest.preparing import Prepared, prepare
from remint.ingest.remembered import Ids, PictureKeys

HEADERS = 1024  # files whose headers are looked at before it is asked whether one stores colour


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
    then no set is written; and when another process makes this set. Interrupted or refused, it
    leaves the parts that were made for the next start to go on with. watch: wraps the items as they
    get ready, to show progress.
    """
    with made_alone(target):
        return _ingest(source, config, target, census, watch)


def _ingest(
    source: Source,
    config: IngestConfig,
    target: Place,
    census: Census,
    watch: Callable[[Iterable[Prepared]], Iterable[Prepared]],
) -> int:
    channels = channel_count(source, config)
    fields = [pa.field("damaged", IMAGE)] if source.paired else []
    parts = resumed_folder(
        _beside(target.absolute(), config.engine), work_of(config, channels, source.paired)
    )
    work = partial(prepare, config=config, channels=channels)
    prepared = _prepared(source, config, ItemPartMaker(parts, set_schema({}, fields), work))
    folder = kept_beside(target.absolute())
    folder.mkdir(parents=True, exist_ok=True)
    census.pictures = PictureKeys(folder)
    pictures, ids = Pictures(folder), Ids(folder)

    def settled(folder: Place) -> None:
        settle(folder, pictures, census, source.class_names)
        census.check(config.max_bad_share, asdict(config.shares), source.class_names)

    rows = imageset.write(
        target,
        _accepted(watch(prepared), census, pictures, ids),
        metadata={
            "class_names": source.class_names,
            "channels": channels,
            "created": _created(config),
        },
        extra_fields=fields,
        shard_bytes=config.shard_megabytes * 2**20,
        settle=settled,
    )
    drop_folder(parts)
    return rows


def _beside(target: Place, engine: str) -> Place:
    """Return what the parts lie beside: on this machine, unless others write to a set's store."""
    folder = target.parent if engine.startswith(ADDRESS) else kept_beside(target)
    return folder / f"{target.name}.items"


def _prepared(source: Source, config: IngestConfig, make: ItemPartMaker) -> Iterator[Prepared]:
    """Yield the items made ready, in order: of parts that are there, or as parts get ready."""
    made = ordered_map(
        make, planned_parts(source), config.workers, 1, lambda part: part.in_hand, config.engine
    )
    return chain.from_iterable(map(read_part, made))


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


def _coloured(item: Item) -> bool:
    if isinstance(item.image, np.ndarray):
        return item.image.shape[2] == 3
    if isinstance(item.image, partial):
        return True
    try:
        files = [file for file in (item.image, item.damaged) if file and not item.problem]
        return any(imagefile.stored_in_colour(file) for file in files)
    except imagefile.ImageFileError:
        return False  # it will stand in quarantine with its reason
