"""What looks the same goes into one split, and what stands under two labels is named."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from remint.core.stores import Place
from remint.images.imageset import ImageSet, resplit
from remint.ingest.census import EXAMPLES, Census, NearDuplicates
from remint.ingest.lookalikes import Pictures


def settle(folder: Place, pictures: Pictures, census: Census, class_names: list[str]) -> None:
    """Keep near-duplicates of the set in `folder` together and tell census what was found.

    Its rows get other splits where they must, nothing else of them changes. A set without
    near-duplicates and conflicts is not read.
    """
    groups = pictures.groups()
    if not groups and not census.repeated:
        return
    rows = ImageSet(folder).frame()
    told = zip(rows["source"], rows["label"], strict=True)
    names = [_name(source, label, class_names) for source, label in told]
    census.conflicts += _alike(rows["label"], groups, pictures, names)
    for position, source, label in census.repeated:
        if not pd.isna(rows["label"][position]) and rows["label"][position] != label:
            census.conflicts.append((names[position], _name(source, label, class_names)))
    if groups:
        census.near = _kept_together(folder, rows, groups, pictures, census)
        examples = [[names[pictures.starts[i]] for i in group] for group in groups[:EXAMPLES]]
        census.near = replace(census.near, examples=examples)


def _kept_together(
    folder: Place,
    rows: pd.DataFrame,
    groups: list[np.ndarray],
    pictures: Pictures,
    census: Census,
) -> NearDuplicates:
    splits = rows["split"].to_numpy(object, copy=True)
    before = splits[pictures.starts]
    after = pictures.homes(groups, before)
    moved = np.flatnonzero(after != before)
    for index in moved:
        start = pictures.starts[index]
        for row in range(start, start + pictures.counts[index]):
            label = None if pd.isna(rows["label"][row]) else int(rows["label"][row])
            census.moved(label, splits[row], after[index], pictures.keys[index])
            splits[row] = after[index]
    if len(moved):
        resplit(folder, list(splits))
    return NearDuplicates(
        groups=len(groups),
        pictures=sum(map(len, groups)),
        straddled=sum(len(set(before[group])) > 1 for group in groups),
        straddling=sum(len(set(after[group])) > 1 for group in groups),
        moved=sum(pictures.counts[index] for index in moved),
    )


def _alike(
    labels: pd.Series, groups: list[np.ndarray], pictures: Pictures, names: list[str]
) -> Iterator[tuple[str, str]]:
    """Yield the first two names of each group that stands under several labels."""
    for group in groups:
        rows = [pictures.starts[i] for i in group if not pd.isna(labels[pictures.starts[i]])]
        other = [row for row in rows if labels[row] != labels[rows[0]]]
        if other:
            yield names[rows[0]], names[other[0]]


def _name(source: str, label: Any, class_names: list[str]) -> str:
    return source if pd.isna(label) else f"{source} ({class_names[int(label)]})"
