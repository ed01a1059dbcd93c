"""What every source of images comes down to: a count, class names, and items one after another."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np


class SourceError(ValueError):
    """Raised when a source as a whole is absent or not laid out as it must be."""


@dataclass(frozen=True)
class Item:
    """One image that a source offers, not yet read.

    source: its name in the source, valid Unicode; image: a file, uint8 HWC pixels in hand, or a
    function that draws them in colour, called where the item is prepared, with all that decides
    what it draws;
    damaged: the damaged half of a real pair; group: images of one group share a split; split: the
    source's own word on it; own_test: the source names its test images itself, so that the hash
    chooses between train and val only; problem: why it cannot be read, known already.
    """

    source: str
    image: Path | np.ndarray | partial[np.ndarray]
    label: int | None = None
    group: str | None = None
    split: str | None = None
    damaged: Path | None = None
    own_test: bool = False
    problem: str | None = None


@dataclass(frozen=True)
class Source:
    """Where images come from: `items()` yields `count` items, each time in the same order."""

    count: int
    items: Callable[[], Iterator[Item]]
    class_names: list[str] = field(default_factory=list)
    paired: bool = False


def limited(source: Source, limit: int) -> Source:
    """Return a source of at most `limit` items, evenly spaced over the whole (0: all of them)."""
    if limit == 0 or limit >= source.count:
        return source

    def items() -> Iterator[Item]:
        for position, item in enumerate(source.items()):
            # Chosen are the positions ceil(k * count / limit), k = 0, 1, ..., limit - 1.
            if position * limit % source.count < limit:
                yield item

    return replace(source, count=limit, items=items)


def without(source: Source, patterns: Sequence[str]) -> Source:
    """Return the items whose names match none of the patterns (*, ? and [...] as in a shell)."""
    if not patterns:
        return source

    def items() -> Iterator[Item]:
        for item in source.items():
            if not any(fnmatchcase(item.source, pattern) for pattern in patterns):
                yield item

    return replace(source, count=sum(1 for _ in items()), items=items)


def for_training(source: Source) -> Source:
    """Return a source all of whose items fall into the train split."""
    return replace(source, items=lambda: (replace(item, split="train") for item in source.items()))


def mixed(parts: Mapping[str, Source]) -> Source:
    """Return the items of several sources, one source after the other; classes are joined by name.

    parts: by the name that goes before those of its items. Raises SourceError for real pairs,
    which share no set with images that have no damaged half.
    """
    for name, part in parts.items():
        if part.paired:
            raise SourceError(f"ingest.source: {name} can't be mixed with others; name it alone")
    classes = list(dict.fromkeys(chain(*(part.class_names for part in parts.values()))))

    def items() -> Iterator[Item]:
        for name, part in parts.items():
            labels = [classes.index(known) for known in part.class_names]
            for item in part.items():
                label = None if item.label is None else labels[item.label]
                yield replace(item, source=f"{name}/{item.source}", label=label)

    return Source(sum(part.count for part in parts.values()), items, classes)


def unicode_text(name: str) -> str:
    """Return a file name as valid Unicode: bytes that are not UTF-8 are written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
