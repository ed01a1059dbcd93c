"""Images named by a CSV, TSV or Parquet table, with labels, groups and splits beside them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from remint.ingest.items import Item, Source, SourceError, unicode_text

_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
_SPLIT_OF = {word: split for split, words in _SPLITS.items() for word in words}


@dataclass(frozen=True)
class TableConfig:
    """The table's file, relative to the source's folder, and its columns ("": there is none)."""

    file: str
    path: str
    label: str
    group: str
    split: str

    def __post_init__(self) -> None:
        if not self.file or not self.path:
            raise ValueError("a table needs `file` and the name of its `path` column")


def table_source(root: Path, config: TableConfig) -> Source:
    """Return the images of the table `root`/`config.file`; their paths are relative to the table.

    A split given by the table stands; where it gives none, the hash decides. Raises SourceError
    for a missing file or column and for a split that is no form of train, val or test.
    """
    file = root / config.file
    table = _read(file)
    _need_columns(table, config, file)
    labels = _texts(table, config.label)
    splits = [_split(text, file) for text in _texts(table, config.split)]
    classes = _class_names(labels)
    number = {name: label for label, name in enumerate(classes)}
    groups, paths = _texts(table, config.group), _texts(table, config.path)

    def items() -> Iterator[Item]:
        rows = zip(paths, labels, groups, splits, strict=True)
        for row, (path, label, group, split) in enumerate(rows):
            source = f"row {row}" if path is None else unicode_text(path)
            code = None if label is None else number[label]
            problem = _problem(path, file.parent)
            yield Item(source, file.parent / (path or ""), code, group, split, problem=problem)

    return Source(len(table), items, classes)


def _read(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise SourceError(f"There is no table {file}; set ingest.table.file to its name")
    try:
        suffix = file.suffix.lower()
        if suffix == ".parquet":
            return pd.read_parquet(file)
        return pd.read_csv(
            file,
            dtype=str,
            sep="\t" if suffix == ".tsv" else ",",
            encoding="utf-8-sig",
            keep_default_na=False,  # a class may be called None or NA
            na_values=[""],
            index_col=False,
        )
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise SourceError(f"{file} cannot be read as CSV, TSV or Parquet ({reason})") from error


def _need_columns(table: pd.DataFrame, config: TableConfig, file: Path) -> None:
    for column in (config.path, config.label, config.group, config.split):
        if column and column not in table.columns:
            known = ", ".join(map(str, table.columns))
            raise SourceError(f"{file} has no column {column!r}; its columns are: {known}")


def _texts(table: pd.DataFrame, column: str) -> list[str | None]:
    """Return a column as texts, None where empty.

    Whole numbers all written as 7.0, as tables with gaps come to write them, lose their ".0".
    """
    if not column:
        return [None] * len(table)
    values = table[column]
    texts = [None if gone else str(v) for v, gone in zip(values, values.isna(), strict=True)]
    if all(text is None or re.fullmatch(r"-?\d+\.0", text) for text in texts):
        return [text and text.removesuffix(".0") for text in texts]
    return texts


def _class_names(labels: list[str | None]) -> list[str]:
    """Return the classes in order: by value where all are whole numbers, else as texts."""
    names = {label for label in labels if label is not None}
    whole = all(name.removeprefix("-").isdecimal() for name in names)
    return sorted(names, key=int) if whole else sorted(names)


def _split(text: str | None, file: Path) -> str | None:
    if text is not None and text.strip().lower() not in _SPLIT_OF:
        raise SourceError(f"{file} names a split {text!r}; use train, val or test, or leave it out")
    return None if text is None else _SPLIT_OF[text.strip().lower()]


def _problem(path: str | None, folder: Path) -> str | None:
    if path is None:
        return "has no path in the table"
    if "\0" in path:
        return "has a path with a zero byte"
    if os.path.isabs(path) or os.path.normpath(path).split(os.sep)[0] == os.pardir:
        return "lies outside the table's folder, where DVC would not see it change"
    if not Path(os.path.realpath(folder / path)).is_relative_to(os.path.realpath(folder)):
        return "leads by a link outside the table's folder, where DVC would not see it change"
    return None
