"""What is remembered of each picture that was kept, on the disk; what looks the same among them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from remint.core.spilled import Spilled
from remint.images.imageset import SPLITS
from remint.ingest.lookalikes import SIDE, components, near_pairs

BLOCK = 2**14
RANGE = 2**18  # pictures whose keys are sorted at a time
MOST_RANGES = 256  # open files
SHOWN = np.dtype([("thumbnail", np.uint8, SIDE**2)])
PICTURE = np.dtype(
    [
        ("key", np.uint64),
        ("start", np.int64),
        ("count", np.int32),
        ("split", np.int8),
        ("fixed", np.bool_),
        ("own_test", np.bool_),
    ]
)
KEYED = np.dtype([("key", np.uint64), ("index", np.int64), ("split", np.int8)])


class Pictures:
    """Pictures in the order of the set, as rows of files; memory does not grow with them.

    folder: on whose disk; None: that of the system's temporary files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._thumbnails = Spilled(SHOWN, folder)
        self._told = Spilled(PICTURE, folder)

    def add(
        self,
        thumbnail: bytes,
        key: int,
        start: int,
        count: int,
        split: str,
        fixed: bool,
        own_test: bool,
    ) -> None:
        """Remember one picture.

        thumbnail: 256 bytes; key: 64-bit hash of the name that its split hangs on; start, count:
        its rows; fixed: the split is the source's own word; own_test: see `Item`.
        """
        self._thumbnails.append((np.frombuffer(thumbnail, np.uint8),))
        self._told.append((key, start, count, SPLITS.index(split), fixed, own_test))

    def groups(self) -> list[np.ndarray]:
        """Return the indices of pictures that look the same, two or more a group, rising."""
        blocks = (block["thumbnail"] for block in self._thumbnails.blocks(BLOCK))
        return components(near_pairs(blocks, folder=self._folder))

    def at(self, indices: np.ndarray) -> np.ndarray:
        """Return what is known of these pictures, int [N], as rows of PICTURE."""
        return self._told.at(indices)

    def moves(self, groups: list[np.ndarray]) -> dict[int, str]:
        """Return the new split of each picture that gets one, for groups to be kept together.

        A picture takes along what shares its key. The picture of the least key decides, so that
        neither names nor order do; the source's own word stands, and pictures without one follow
        it, but none is moved into the test images of a source that names them itself.
        """
        links = [np.column_stack([g[:-1], g[1:]]) for g in groups]
        moved = {}
        for members in components(np.concatenate([*links, *self._same_keys(groups)])):
            told = self.at(members)
            free = ~told["fixed"]
            if free.any() and len(set(told["split"])) > 1:
                home = _home(told, free)
                away = free & (told["split"] != SPLITS.index(home))
                moved.update(dict.fromkeys(members[away].tolist(), home))
        return dict(sorted(moved.items()))

    def _same_keys(self, groups: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield int64 [P, 2]: pictures of one key, one after the other, whose split is hashed.

        Left out are those that nothing can move: of one split, and none of them in a group.
        """
        grouped = np.concatenate([*groups, np.empty(0, np.int64)])
        for rows in self._key_ranges():
            rows = _repeated(rows[np.argsort(rows["key"], kind="stable")])
            for run in np.split(rows, np.flatnonzero(np.diff(rows["key"])) + 1):
                if len(run) and (np.ptp(run["split"]) or np.isin(run["index"], grouped).any()):
                    yield np.column_stack([run["index"][:-1], run["index"][1:]])

    def _key_ranges(self) -> Iterator[np.ndarray]:
        """Yield the pictures whose split is hashed as rows of KEYED, by ranges of their keys."""
        ranges = min(MOST_RANGES, 1 + len(self._told) // RANGE)
        parts = [Spilled(KEYED, self._folder) for _ in range(ranges)]
        for number, block in enumerate(self._told.blocks(BLOCK)):
            rows = np.empty(len(block), KEYED)
            rows["key"], rows["split"] = block["key"], block["split"]
            rows["index"] = np.arange(len(block)) + number * BLOCK
            rows = rows[~block["fixed"]]
            places = (rows["key"] >> np.uint64(32)) * np.uint64(ranges) >> np.uint64(32)
            for place, part in enumerate(parts):
                part.extend(rows[places == place])
        for part in parts:
            yield part[:]


def _repeated(rows: np.ndarray) -> np.ndarray:
    """Return those of the rows, sorted by key, whose key others have."""
    same = np.concatenate([[False], rows["key"][1:] == rows["key"][:-1], [False]])
    return rows[(same[:-1] | same[1:])[: len(rows)]]


def _home(told: np.ndarray, free: np.ndarray) -> str:
    given = set(told["split"][~free])
    if given and not told["own_test"][free].any():
        return SPLITS[min(given)]
    first = told[free][told["key"][free].argmin()]
    return SPLITS[first["split"]]
