"""Pictures that were measured as tiles, a page of a document above all, put together to be seen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from more_itertools import unique_everseen

from remint.core.randomness import philox_key
from remint.images.fitting import picture_of, resized
from remint.metrics.pixels import CLEAN

TILE = r"(?P<page>.*)#xywh=(?P<left>\d+),(?P<top>\d+),(?P<side>\d+),\d+"  # as `fitting` names it
AMPLE = 0.5  # of a page's tiles: pages of which so many were measured come first
LONGEST = 2048  # px: larger pages are shrunk, tile by tile
GAP = 128  # grey where there is no tile, since it was left out as a duplicate
PALE = 0.4  # of the contrast, in tiles that were not measured


@dataclass(frozen=True)
class Page:
    """A page under one kind and strength of damage.

    places: row and column in its grid by row of the split, of what was measured; others: by
    position in the clean set, of its other tiles. side: of its tiles, px.
    """

    name: str
    kind: str
    severity: int
    places: dict[int, tuple[int, int]]
    others: dict[int, tuple[int, int]]
    side: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        down, right = np.array([*self.places.values(), *self.others.values()]).max(axis=0) + 1
        return int(down), int(right)

    @property
    def share(self) -> float:
        """Of the tiles of the grid that were measured, 0..1."""
        return len(self.places) / (self.grid[0] * self.grid[1])


def pages(rows: pd.DataFrame, clean: pd.DataFrame, count: int, seed: int) -> list[Page]:
    """Return up to `count` damaged pages of several measured tiles, each once, chosen by a hash.

    rows: `source`, `kind` and `severity` of the images of a split, in its order; clean: `source`
    and `position` of the split's clean images, more than were measured where slices are limited.
    Of several versions of a tile under one kind and strength the first one is seen.
    """
    tiles = _tiles(rows).join(rows[["kind", "severity"]])
    tiles = tiles[tiles["kind"] != CLEAN]
    known = dict(iter(_tiles(clean).join(clean["position"]).groupby("page")))
    one_page = ["page", "kind", "severity"]
    groups = tiles.drop_duplicates([*one_page, "top", "left"]).groupby(one_page)
    found = [_page(part, known) for _, part in groups if len(part) > 1]
    found.sort(key=lambda one: philox_key(seed, "pages", f"{one.kind} {one.severity} {one.name}"))
    found.sort(key=lambda one: one.share < AMPLE)
    return list(unique_everseen(found, key=lambda one: picture_of(one.name)))[:count]


def _tiles(rows: pd.DataFrame) -> pd.DataFrame:
    """Return page, left, top and side of the rows that are tiles."""
    tiles = rows["source"].str.extract(f"^{TILE}$").dropna()
    return tiles.astype({"left": int, "top": int, "side": int})


def _page(tiles: pd.DataFrame, by_page: Mapping[Any, pd.DataFrame]) -> Page:
    name, side, kind, severity = tiles.iloc[0][["page", "side", "kind", "severity"]]
    known = by_page[name]
    corner = known[["top", "left"]].min()
    measured = set(zip(tiles["top"], tiles["left"], strict=True))
    spots = list(zip(known["top"], known["left"], strict=True))
    others = known.set_index("position")[[spot not in measured for spot in spots]]
    places, rest = (
        {int(row): (int(down), int(right)) for row, down, right in grid.itertuples()}
        for grid in ((part[["top", "left"]] - corner) // side for part in (tiles, others))
    )
    return Page(name, kind, int(severity), places, rest, int(side))


def assembled(
    page: Page, image: Callable[[int], np.ndarray], clean: Callable[[int], np.ndarray]
) -> np.ndarray:
    """Return the page, uint8 HWC, of the tiles that `image` gives by their row of the split.

    Those that were not measured are pale, from what `clean` gives by its position.
    """
    side = page.side // -(-max(page.grid) * page.side // LONGEST) or 1
    channels = image(next(iter(page.places))).shape[2]
    canvas = np.full((page.grid[0] * side, page.grid[1] * side, channels), GAP, np.uint8)
    for places, tile in ((page.places, image), (page.others, lambda row: _pale(clean(row)))):
        for row, (down, right) in places.items():
            spot = np.s_[down * side : (down + 1) * side, right * side : (right + 1) * side]
            canvas[spot] = resized(tile(row), side, side)
    return canvas


def _pale(image: np.ndarray) -> np.ndarray:
    return (GAP + PALE * (image.astype(np.float32) - GAP)).astype(np.uint8)
