"""What looks the same goes into one split, and what stands under two labels is named."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from remint.core.stores import Place
from remint.images.imageset import SPLITS, resplit, some_rows
from remint.ingest.census import EXAMPLES, Census, NearDuplicates
from remint.ingest.pictures import Pictures


@dataclass(frozen=True)
class Row:
    """What is told of one row of the set."""

    name: str
    label: int | None


def settle(folder: Place, pictures: Pictures, census: Census, class_names: list[str]) -> None:
    """Keep near-duplicates of the set in `folder` together and tell census what was found.

    Its rows get other splits where they must, nothing else of them changes. A set without
    near-duplicates and conflicts is not read. Memory grows with what has a like.
    """
    groups = pictures.groups()
    if not groups and not census.repeated:
        return
    starts = [pictures.at(group)["start"] for group in groups]
    moves = pictures.moves(groups) if groups else {}
    moved = pictures.at(np.array(list(moves), np.int64))
    stretches = [np.arange(one["start"], one["start"] + one["count"]) for one in moved]
    firsts = np.array([position for position, _, _ in census.repeated], np.int64)
    needed = np.unique(np.concatenate([firsts, *starts, *stretches]))
    rows = {
        position: Row(_name(source, label, class_names), label)
        for position, source, label in some_rows(folder, needed, ["source", "label"])
    }
    census.conflicts += _alike(starts, rows)
    for position, source, label in census.repeated:
        census.conflicts.append((rows[position].name, _name(source, label, class_names)))
    if groups:
        _move(folder, moves, moved, rows, census)
        census.near = _told(groups, pictures, moves, int(moved["count"].sum()), rows)


def _move(
    folder: Place, moves: dict[int, str], moved: np.ndarray, rows: dict[int, Row], census: Census
) -> None:
    fresh = {}
    for home, one in zip(moves.values(), moved, strict=True):
        for row in range(one["start"], one["start"] + one["count"]):
            census.moved(rows[row].label, SPLITS[one["split"]], home, int(one["key"]))
            fresh[row] = home
    if fresh:
        resplit(folder, fresh)


def _told(
    groups: list[np.ndarray],
    pictures: Pictures,
    moves: dict[int, str],
    moved: int,
    rows: dict[int, Row],
) -> NearDuplicates:
    straddled = straddling = 0
    for group in groups:
        before = [SPLITS[split] for split in pictures.at(group)["split"]]
        after = [moves.get(int(i), split) for i, split in zip(group, before, strict=True)]
        straddled += len(set(before)) > 1
        straddling += len(set(after)) > 1
    shown = [pictures.at(group)["start"].tolist() for group in groups[:EXAMPLES]]
    return NearDuplicates(
        groups=len(groups),
        pictures=sum(map(len, groups)),
        straddled=straddled,
        straddling=straddling,
        moved=moved,
        examples=[[rows[start].name for start in starts] for starts in shown],
    )


def _alike(starts: list[np.ndarray], rows: dict[int, Row]) -> Iterator[tuple[str, str]]:
    """Yield the first two names of each group that stands under several labels."""
    for group in starts:
        labelled = [rows[start] for start in group.tolist() if rows[start].label is not None]
        other = [row for row in labelled if row.label != labelled[0].label]
        if other:
            yield labelled[0].name, other[0].name


def _name(source: str, label: int | None, class_names: list[str]) -> str:
    return source if label is None else f"{source} ({class_names[label]})"
