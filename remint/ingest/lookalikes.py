"""Near-duplicates: one picture in several encodings or sizes, which must not straddle splits.

Pictures are compared as thumbnails of 16 x 16 px. Of their cosine transform the lowest frequencies
are the hash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010):
the transform keeps distances, so what is near in all pixels is near in these, and a k-d tree finds
candidates in about N log N; the whole thumbnails decide. What was turned, mirrored, cropped or
toned anew is not looked for.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from remint.images.imagefile import to_channels
from remint.images.imageset import SPLITS

SIDE = 16  # px of a thumbnail
FREQUENCIES = 3  # on each axis, of the hash
LEVELS = 4.0  # root mean square difference, 0..255, within which two pictures are one: a JPEG of
# quality 50 of a 28 px digit lies 4 away, of a photograph below 1; no two of the digits below 6
SHARE = 0.1  # of a thumbnail's own deviation: sparse pages and flat pictures differ by little
FLAT = 1.0  # deviation below which a thumbnail shows nothing to know a picture by
NEAREST = 16  # candidates a picture; of a larger crowd one is linked by another


@dataclass
class Pictures:
    """What is remembered of each picture that was kept, in the order of the set.

    thumbnails: 256 bytes each; keys: 64-bit hash of the name that its split hangs on; starts,
    counts: its rows; fixed: the source's own word on the split; own_test: see `Item`.
    """

    thumbnails: list[bytes] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    fixed: list[bool] = field(default_factory=list)
    own_test: list[bool] = field(default_factory=list)

    def add(
        self, thumbnail: bytes, key: int, start: int, count: int, fixed: bool, own_test: bool
    ) -> None:
        """Remember one picture."""
        self.thumbnails.append(thumbnail)
        self.keys.append(key)
        self.starts.append(start)
        self.counts.append(count)
        self.fixed.append(fixed)
        self.own_test.append(own_test)

    def groups(self) -> list[np.ndarray]:
        """Return the indices of pictures that look the same, two or more a group, rising."""
        return _components(len(self.keys), near_pairs(_pixels(self.thumbnails)))

    def homes(self, groups: list[np.ndarray], splits: np.ndarray) -> np.ndarray:
        """Return the split of each picture once groups are kept together; splits: as hashed [N].

        A picture takes along what shares its key. The picture of the least key decides, so that
        neither names nor order do; the source's own word stands, and pictures without one follow
        it, but none is moved into the test images of a source that names them itself.
        """
        homes = splits.copy()
        links = [np.column_stack([g[:-1], g[1:]]) for g in groups]
        for members in _components(len(splits), np.concatenate([*links, self._same_keys()])):
            free = members[~np.array(self.fixed)[members]]
            if len(free) and len(set(splits[members])) > 1:
                homes[free] = self._home(members, free, splits)
        return homes

    def _home(self, members: np.ndarray, free: np.ndarray, splits: np.ndarray) -> str:
        given = set(splits[members]) if not len(free) else set(splits[np.setdiff1d(members, free)])
        if given and not any(self.own_test[index] for index in free):
            return min(given, key=SPLITS.index)
        return str(splits[min(free, key=lambda index: self.keys[index])])

    def _same_keys(self) -> np.ndarray:
        """Return int64 [P, 2]: pictures of one key, one after the other, whose split is hashed."""
        keys = np.array(self.keys, np.uint64)
        free = np.flatnonzero(~np.array(self.fixed, bool))
        free = free[np.argsort(keys[free], kind="stable")]
        same = np.flatnonzero(keys[free[1:]] == keys[free[:-1]])
        return np.column_stack([free[same], free[same + 1]])


def thumbnail(image: np.ndarray) -> bytes:
    """Shrink a uint8 HWC image to 16 x 16 grey pixels by areas, row by row."""
    grey = np.ascontiguousarray(to_channels(image, 1)[:, :, 0])
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).tobytes()


def near_pairs(thumbnails: np.ndarray) -> np.ndarray:
    """Return int64 [P, 2], i < j: pairs of uint8 [N, 256] that show one picture."""
    if len(thumbnails) < 2:
        return np.empty((0, 2), np.int64)
    first, second = _candidates(thumbnails)
    spread = thumbnails.std(axis=1, dtype=np.float32)
    reach = np.where(spread < FLAT, -1.0, np.minimum(LEVELS, SHARE * spread))
    near = np.zeros(len(first), bool)
    for start in range(0, len(first), 2**16):  # 64 MiB of differences at a time
        part = slice(start, start + 2**16)
        a, b = first[part], second[part]
        difference = thumbnails[a].astype(np.float32) - thumbnails[b]
        rms = np.sqrt(np.einsum("pd,pd->p", difference, difference) / SIDE**2)
        near[part] = rms <= np.minimum(reach[a], reach[b])
    return np.column_stack([first[near], second[near]])


def _candidates(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    squares = thumbnails.reshape(-1, SIDE, SIDE).astype(np.float32)
    spectra = dctn(squares, axes=(1, 2), norm="ortho")[:, :FREQUENCIES, :FREQUENCIES]
    hashes = spectra.reshape(len(spectra), -1)
    count, reach = min(NEAREST, len(hashes)), LEVELS * SIDE  # rms of 256 pixels as a length
    found = KDTree(hashes).query(hashes, k=count, distance_upper_bound=reach * 1.001)[1]
    rows = np.repeat(np.arange(len(hashes)), count)
    others = np.asarray(found).ravel()
    real = (others < len(hashes)) & (others != rows)
    pairs = np.sort(np.column_stack([rows[real], others[real]]), axis=1)
    pairs = np.unique(pairs, axis=0)
    return pairs[:, 0], pairs[:, 1]


def _components(count: int, pairs: np.ndarray) -> list[np.ndarray]:
    """Return the connected groups of 0..count-1 that have two members or more."""
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    names = connected_components(links, directed=False)[1]
    order = np.argsort(names, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(names[order])) + 1)
    return [part for part in parts if len(part) > 1]


def _pixels(thumbnails: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, SIDE**2)
