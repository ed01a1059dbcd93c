"""Near-duplicates: one picture in several encodings or sizes, which must not straddle splits.

Pictures are compared as thumbnails of 16 x 16 px. Of their cosine transform the lowest frequencies
are the hash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010):
the transform keeps distances, so what is near in all pixels is near in these. By ranges of the hash
pictures go to cells on disk that are searched one by one (see `cells`), in memory that does not
grow with the set; the whole thumbnails decide: a picture's own JPEG lies off by a little
everywhere, another picture like it by more in some patch or spot. What was turned, mirrored,
cropped or toned anew is not looked for.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from scipy.fft import dctn
from scipy.ndimage import uniform_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from remint.core.spilled import Spilled
from remint.images.imagefile import to_channels
from remint.ingest.cells import cells

SIDE = 16  # px of a thumbnail
FREQUENCIES = 4  # on each axis, of the hash that cells are ranges of
FINE = 6  # on each axis, of the hash that is compared inside a cell
WAVES = dctn(np.eye(SIDE**2, dtype=np.float32).reshape(-1, SIDE, SIDE), axes=(1, 2), norm="ortho")
LEVELS = 6.0  # root mean square difference, 0..255, within which two pictures are one: a JPEG of
# quality 40 of a 28 px digit lies 5 away, of a photograph below 1; no two of the digits below 6.9
SMOOTH = 3.25  # the same of the means of 3 x 3 px
SPOT = 24  # largest difference of a pixel: beyond it one shirt has a print that the other has not
SHARE = 0.1  # of a thumbnail's own deviation: sparse pages and flat pictures differ by little
FLAT = 1.0  # deviation below which a thumbnail shows nothing to know a picture by
CELL = 2048  # pictures
ROWS = 512  # of a cell that are compared with as many others at a time
PAIRS = 2**13  # whose whole thumbnails are compared at a time: 8 MiB of differences
POINT = np.dtype(
    [
        ("index", np.int64),
        ("levels", np.float32),
        ("reach", np.float32),
        ("place", np.float32, FREQUENCIES**2),
        ("thumbnail", np.uint8, SIDE**2),
    ]
)


def thumbnail(image: np.ndarray) -> bytes:
    """Shrink a uint8 HWC image to 16 x 16 grey pixels by areas, row by row."""
    grey = np.ascontiguousarray(to_channels(image, 1)[:, :, 0])
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).tobytes()


def near_pairs(
    blocks: Iterable[np.ndarray], cell: int = CELL, folder: Path | None = None
) -> np.ndarray:
    """Return int64 [P, 2], i < j: links that join all pictures that look the same.

    blocks: uint8 [N, 256] thumbnails, counted through; cell: pictures searched at a time; folder:
    on whose disk they wait. Of three pictures or more not each is linked with each other.
    """
    points = Spilled(POINT, folder)
    count = 0
    for block in blocks:
        points.extend(_points(block, count))
        count += len(block)
    links = [pairs for part in cells(points, cell, folder) for pairs in _links(part)]
    return np.unique(np.concatenate([np.empty((0, 2), np.int64), *links]), axis=0)


def components(pairs: np.ndarray) -> list[np.ndarray]:
    """Return the connected groups of int64 [P, 2] links, rising, by their least member."""
    known, ends = np.unique(pairs, return_inverse=True)
    names = _joined(np.arange(len(known)), ends.reshape(-1, 2))
    order = np.argsort(names, kind="stable")
    parts = np.split(known[order], np.flatnonzero(np.diff(names[order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=lambda part: int(part[0]))


def alike(one: np.ndarray, other: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Say of each pair of uint8 [P, 256] thumbnails, bool [P], whether they show one picture.

    levels: root mean square difference of each pair within which they may.
    """
    difference = one.astype(np.float32) - other
    same = np.sqrt(np.einsum("pd,pd->p", difference, difference) / SIDE**2) <= levels
    near = difference[same]
    means = uniform_filter(near.reshape(-1, SIDE, SIDE), (1, 3, 3), mode="mirror")
    smooth = np.sqrt(np.square(means).mean(axis=(1, 2)))
    same[same] = (smooth <= SMOOTH) & (np.abs(near).max(axis=1) <= SPOT)
    return same


def _points(thumbnails: np.ndarray, start: int) -> np.ndarray:
    """Return the thumbnails that show something as rows for `cells`, counted from start."""
    spread = thumbnails.std(axis=1, dtype=np.float32)
    shown = np.flatnonzero(spread >= FLAT)
    points = np.empty(len(shown), POINT)
    points["index"] = shown + start
    points["levels"] = np.minimum(LEVELS, SHARE * spread[shown])
    points["reach"] = points["levels"] * SIDE * 1.001 + 0.1  # rms of 256 pixels as a length
    points["place"] = _hashes(thumbnails[shown], FREQUENCIES)
    points["thumbnail"] = thumbnails[shown]
    return points


def _hashes(thumbnails: np.ndarray, frequencies: int) -> np.ndarray:
    """Return float32 [N, frequencies ** 2]: the lowest ones of uint8 [N, 256]."""
    lowest = WAVES[:, :frequencies, :frequencies].reshape(SIDE**2, -1)
    return (thumbnails.astype(np.float32) - 128) @ lowest


def _links(points: Spilled) -> Iterator[np.ndarray]:
    """Yield int64 [P, 2], i < j: links that join what looks the same among the points of a cell."""
    names = np.arange(len(points))
    for i in range(0, len(points), ROWS):
        first = points[i : i + ROWS]
        for j in range(i, len(points), ROWS):
            if _one_name(names[i : i + ROWS], names[j : j + ROWS]):
                continue  # all linked: a crowd costs no more than its first rows with the rest
            second = points[j : j + ROWS] if j > i else first
            a, b = _candidates(first, second)
            while len(a):
                a, b = _unlinked(a, b, names[i : i + ROWS], names[j : j + ROWS])
                one, other = first[a[:PAIRS]], second[b[:PAIRS]]
                levels = np.minimum(one["levels"], other["levels"])
                near = alike(one["thumbnail"], other["thumbnail"], levels)
                ends = np.column_stack([a[:PAIRS][near], b[:PAIRS][near]])
                if len(ends):
                    names = _joined(names, ends + np.array([i, j]))
                    yield np.sort(
                        np.column_stack([first["index"][ends[:, 0]], second["index"][ends[:, 1]]])
                    )
                a, b = a[PAIRS:], b[PAIRS:]


def _candidates(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows of first and of second lie within reach by their fine hashes."""
    one, other = (_hashes(points["thumbnail"], FINE) for points in (first, second))
    lengths, ones = (one**2).sum(axis=1), np.ones((len(other), 1), np.float32)
    one = np.column_stack([one * -2, lengths, np.ones_like(lengths)])
    other = np.column_stack([other, ones, (other**2).sum(axis=1)])
    reach = (first["levels"] * SIDE) ** 2 * 1.002 + 32  # 32: rounding of sums of some 10 million
    a, b = np.nonzero(one @ other.T <= reach[:, None])  # |a|^2 + |b|^2 - 2ab
    return a, b


def _one_name(names_a: np.ndarray, names_b: np.ndarray) -> bool:
    return bool((names_a == names_a[0]).all() and (names_b == names_a[0]).all())


def _unlinked(
    a: np.ndarray, b: np.ndarray, names_a: np.ndarray, names_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    apart = names_a[a] != names_b[b]
    return a[apart], b[apart]


def _joined(names: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return names, below len(names), in which the ends of each link [P, 2] have one name."""
    linked = names[ends]
    shape = (len(names), len(names))
    links = coo_array((np.ones(len(ends)), (linked[:, 0], linked[:, 1])), shape=shape)
    return connected_components(links, directed=False)[1][names]
