"""Time and peak memory of the search for duplicates as a set grows: by ranges, and in memory.

    python -m bench.duplicates [--counts 60000 250000 1000000]

Entries are generated: an id and a smooth picture of 16 x 16 px, in each hundred one exact copy and
one with noise, of entries from the whole set before. Measured are what ingest does with them before
and after it writes rows: find exact copies, count pictures, find near-duplicates, move them into
one split. `ranges` is that code; `memory` does the same as it did before, with a dictionary, sets,
lists and one tree of all hashes, and must find the same. Each measurement is a process of its own;
seconds are those of the work, without generation and imports; memory as in bench.image_sets.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.fft import dctn
from scipy.spatial import KDTree

from bench.processes import MIB, watched
from remint.ingest.census import picture_key
from remint.ingest.lookalikes import FLAT, LEVELS, SHARE, SIDE, alike, components
from remint.ingest.pictures import Pictures
from remint.ingest.remembered import Ids, PictureKeys
from remint.ingest.splits import Shares, split_of

BLOCK = 1000
SHARES = Shares(0.7, 0.15, 0.15)
Entry = tuple[bytes, bytes, str]  # id, thumbnail, split


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both ways at every count, or be the measured process when --way is given."""
    parser = argparse.ArgumentParser(prog="python -m bench.duplicates", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[60_000, 250_000, 1_000_000])
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.way:
        print("ready", flush=True)
        print(json.dumps(WAYS[given.way](given.counts[0])))
        return
    print("way       entries  copies  groups  moved  seconds  added MiB", flush=True)
    for count in given.counts:
        found = [_measured(way, count) for way in WAYS]
        if found[0] != found[1]:
            sys.exit("error: the two ways found different duplicates")


def _by_ranges(count: int) -> tuple[list[int], float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids, keys, pictures = Ids(folder), PictureKeys(folder), Pictures(folder)
        spent = 0.0
        for block in _blocks(count):
            start = time.monotonic()
            for id, thumbnail, split in block:
                if ids.earlier(id, None) is None:
                    key = picture_key(id.hex())
                    keys.add(split, key)
                    pictures.add(thumbnail, key, len(ids) - 1, 1, split, False, False)
            spent += time.monotonic() - start
        start = time.monotonic()
        groups = pictures.groups()
        moved = len(pictures.moves(groups))
        found = [count - keys.counts().total(), len(groups), moved]
        return found, spent + time.monotonic() - start


def _in_memory(count: int) -> tuple[list[int], float]:
    ids: dict[bytes, int] = {}
    names: defaultdict[str, set[int]] = defaultdict(set)
    thumbnails: list[bytes] = []
    told: list[tuple[int, str]] = []
    spent = 0.0
    for block in _blocks(count):
        start = time.monotonic()
        for id, thumbnail, split in block:
            if ids.setdefault(id, len(ids)) == len(told):
                key = picture_key(id.hex())
                names[split].add(key)
                thumbnails.append(thumbnail)
                told.append((key, split))
        spent += time.monotonic() - start
    start = time.monotonic()
    pixels = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, SIDE**2)
    groups = components(_pairs_of_a_tree(pixels))
    moved = sum(
        told[index][1] != min(told[i] for i in group)[1] for group in groups for index in group
    )
    found = [count - sum(map(len, names.values())), len(groups), moved]
    return found, spent + time.monotonic() - start


def _pairs_of_a_tree(thumbnails: np.ndarray) -> np.ndarray:
    """Return int64 [P, 2] as the search in one tree did: 16 nearest hashes, then all pixels."""
    squares = thumbnails.reshape(-1, SIDE, SIDE).astype(np.float32)
    hashes = dctn(squares, axes=(1, 2), norm="ortho")[:, :3, :3].reshape(len(squares), -1)
    found = KDTree(hashes).query(hashes, k=16, distance_upper_bound=LEVELS * SIDE * 1.001)[1]
    rows, others = np.repeat(np.arange(len(hashes)), 16), np.asarray(found).ravel()
    real = (others < len(hashes)) & (others != rows)
    pairs = np.unique(np.sort(np.column_stack([rows[real], others[real]]), axis=1), axis=0)
    spread = thumbnails.std(axis=1, dtype=np.float32)
    reach = np.where(spread < FLAT, -1.0, np.minimum(LEVELS, SHARE * spread))
    near = [np.empty((0, 2), np.int64)]
    for part in np.array_split(pairs, 1 + len(pairs) // 2**16):
        one, other = thumbnails[part[:, 0]], thumbnails[part[:, 1]]
        near.append(part[alike(one, other, reach[part].min(axis=1))])
    return np.concatenate(near)


WAYS = {"ranges": _by_ranges, "memory": _in_memory}


def _blocks(count: int) -> Iterator[list[Entry]]:
    for number in range(count // BLOCK):
        pixels = _pictures(number)
        drawn = np.random.default_rng([1, number])
        copies = BLOCK // 100 if number else 0
        earlier = _pictures(int(drawn.integers(number)))[: 2 * copies] if number else pixels[:0]
        pixels[-copies or BLOCK :] = earlier[:copies]
        noise = drawn.integers(-2, 3, (copies, SIDE**2))
        pixels[BLOCK - 2 * copies : BLOCK - copies] = np.clip(earlier[copies:] + noise, 0, 255)
        yield [_entry(row.tobytes()) for row in pixels]


def _pictures(number: int) -> np.ndarray:
    """Return uint8 [1000, 256]: 16 fields of grey each, with some noise."""
    drawn = np.random.default_rng([0, number])
    fields = np.kron(drawn.normal(0, 40, (BLOCK, 4, 4)), np.ones((1, 4, 4)))
    pixels = 128 + fields.reshape(BLOCK, -1) + drawn.normal(0, 10, (BLOCK, SIDE**2))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _entry(thumbnail: bytes) -> Entry:
    id = hashlib.blake2b(thumbnail, digest_size=16)
    return id.digest(), thumbnail, split_of(id.hexdigest(), SHARES, 1)


def _measured(way: str, count: int) -> list[int]:
    seen = watched("bench.duplicates", "--way", way, "--counts", count)
    found, seconds = seen.told
    copies, groups, moved = found
    print(
        f"{way:8} {count:9,} {copies:7,} {groups:7,} {moved:6,} {seconds:8.1f} "
        f"{(seen.peak - seen.base) / MIB:10.0f}",
        flush=True,
    )
    return [copies, groups, moved]


if __name__ == "__main__":
    main()
