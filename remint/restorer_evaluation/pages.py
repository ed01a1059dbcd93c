"""Pictures that were measured as tiles, a page of a document above all, put together to be seen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from more_itertools import unique_everseen

from remint.core.randomness import philox_key
from remint.images.fitting import picture_of, resized
from remint.metrics.pixels import CLEAN

TILE = r"(?P<page>.*)#xywh=(?P<left>\d+),(?P<top>\d+),(?P<side>\d+),\d+"  # as `fitting` names it
LEAST_SHARE = 0.5  # of a page's tiles; of fewer nobody sees the page
LONGEST = 2048  # px: larger pages are shrunk, tile by tile
GAP = 128  # grey where a tile was not measured, or left out as a duplicate


@dataclass(frozen=True)
class Page:
    """A page under one kind and strength of damage.

    places: row and column in its grid by row of the split. side: of its tiles, px.
    """

    name: str
    kind: str
    severity: int
    places: dict[int, tuple[int, int]]
    side: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        down, right = np.array(list(self.places.values())).max(axis=0) + 1
        return int(down), int(right)

    @property
    def share(self) -> float:
        """Of the tiles of the grid that are there, 0..1."""
        return len(self.places) / (self.grid[0] * self.grid[1])


def pages(rows: pd.DataFrame, count: int, seed: int) -> list[Page]:
    """Return up to `count` damaged pages of several tiles, each once, chosen by a hash.

    rows: `source`, `kind` and `severity` of the images of a split, in its order. Of several
    versions of a tile under one kind and strength the first one is seen.
    """
    tiles = rows["source"].str.extract(f"^{TILE}$").join(rows[["kind", "severity"]])
    tiles = tiles[tiles["page"].notna() & (tiles["kind"] != CLEAN)]
    one_page = ["page", "kind", "severity"]
    groups = tiles.drop_duplicates([*one_page, "top", "left"]).groupby(one_page)
    found = [_page(part) for _, part in groups if len(part) > 1]
    whole = [page for page in found if page.share >= LEAST_SHARE]
    whole.sort(key=lambda one: philox_key(seed, "pages", f"{one.kind} {one.severity} {one.name}"))
    return list(unique_everseen(whole, key=lambda one: picture_of(one.name)))[:count]


def _page(tiles: pd.DataFrame) -> Page:
    name, side, kind, severity = tiles.iloc[0][["page", "side", "kind", "severity"]]
    spots, side = tiles[["top", "left"]].astype(int), int(side)
    grid = (spots - spots.min()) // side
    places = {int(row): (int(down), int(right)) for row, down, right in grid.itertuples()}
    return Page(name, kind, int(severity), places, side)


def assembled(page: Page, image: Callable[[int], np.ndarray]) -> np.ndarray:
    """Return the page, uint8 HWC, of the tiles that `image` gives by their row of the split."""
    side = page.side // -(-max(page.grid) * page.side // LONGEST) or 1
    channels = image(next(iter(page.places))).shape[2]
    canvas = np.full((page.grid[0] * side, page.grid[1] * side, channels), GAP, np.uint8)
    for row, (down, right) in page.places.items():
        spot = np.s_[down * side : (down + 1) * side, right * side : (right + 1) * side]
        canvas[spot] = resized(image(row), side, side)
    return canvas
