"""Choosing where images come from."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from remint.ingest.embedded import digits_source, photos_source
from remint.ingest.folders import folder_source, pairs_source
from remint.ingest.items import Source
from remint.ingest.published import torchvision_source
from remint.ingest.tables import TableConfig, table_source

Kind = Literal["digits", "photos", "folder", "table", "pairs", "torchvision"]


def open_source(kind: Kind, path: Path, table: TableConfig, name: str) -> Source:
    """Return the source of `kind`: embedded (digits, photos) or found at `path`.

    table: read for "table" only; name: the torchvision class, read for "torchvision" only. Raises
    SourceError where the source is absent or not laid out as it must be.
    """
    openers: dict[Kind, Callable[[], Source]] = {
        "digits": digits_source,
        "photos": photos_source,
        "folder": lambda: folder_source(path),
        "pairs": lambda: pairs_source(path),
        "table": lambda: table_source(path, table),
        "torchvision": lambda: torchvision_source(path, name),
    }
    return openers[kind]()
