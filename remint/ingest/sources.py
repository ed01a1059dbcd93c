"""Choosing where images come from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from remint.ingest.dead_leaves import DeadLeavesConfig, dead_leaves_source
from remint.ingest.embedded import digits_source, photos_source
from remint.ingest.folders import folder_source, pairs_source
from remint.ingest.items import Source, for_training, mixed
from remint.ingest.published import torchvision_source
from remint.ingest.tables import TableConfig, table_source

Kind = Literal["digits", "photos", "dead_leaves", "folder", "table", "pairs", "torchvision"]


@dataclass(frozen=True)
class SourceSettings:
    """What single kinds of sources read beside the path.

    table: of "table"; name: the torchvision class; dead_leaves, seed: what is drawn.
    """

    table: TableConfig
    name: str
    dead_leaves: DeadLeavesConfig
    seed: int


def open_source(kind: Kind | tuple[Kind, ...], path: Path, settings: SourceSettings) -> Source:
    """Return the source of `kind`: embedded (digits, photos), drawn or found at `path`.

    Several kinds give all their images, in that order; then dead leaves are for training alone,
    so that what is held out to measure by is real. Raises SourceError where a source is absent or
    not laid out as it must be.
    """
    if isinstance(kind, str):
        return _open(kind, path, settings)
    parts: dict[str, Source] = {name: _open(name, path, settings) for name in kind}
    if "dead_leaves" in parts:
        parts["dead_leaves"] = for_training(parts["dead_leaves"])
    return mixed(parts)


def _open(kind: Kind, path: Path, settings: SourceSettings) -> Source:
    openers: dict[Kind, Callable[[], Source]] = {
        "digits": digits_source,
        "photos": photos_source,
        "dead_leaves": lambda: dead_leaves_source(settings.dead_leaves, settings.seed),
        "folder": lambda: folder_source(path),
        "pairs": lambda: pairs_source(path),
        "table": lambda: table_source(path, settings.table),
        "torchvision": lambda: torchvision_source(path, settings.name),
    }
    return openers[kind]()
