"""Pictures for people: the best, the median and the worst restored images, and a fixed few."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd

from remint.core.randomness import philox_key
from remint.metrics.pixels import CLEAN

ERROR_FULL = 64  # levels of error that show as the brightest colour, the same in every picture
PICTURES = ("input", "classical", "output", "target", "error")


@dataclass(frozen=True)
class Choice:
    """group: best, median, worst or random; position: row of the per-image frame."""

    group: str
    position: int


def choose(frame: pd.DataFrame, count: int, seed: int) -> list[Choice]:
    """Pick `count` rows a group from per-image figures, damaged images only.

    best, median and worst are by gain, with no kind or picture twice in a group while others are
    left; random is by a hash of the id, so the same images come again from run to run.
    """
    damaged = frame[frame["kind"] != CLEAN]
    ranked = damaged.sort_values(["gain", "id"], ascending=[False, True])
    distance = (ranked["gain"] - ranked["gain"].median()).abs()
    hashes = {place: philox_key(seed, "gallery", str(i)) for place, i in damaged["id"].items()}
    orders = {
        "best": list(ranked.index),
        "median": list(distance.sort_values(kind="stable").index),
        "worst": list(ranked.index[::-1]),
        "random": sorted(hashes, key=hashes.__getitem__),
    }
    return [
        Choice(group, row)
        for group, order in orders.items()
        for row in (order[:count] if group == "random" else _varied(order, damaged, count))
    ]


def _varied(order: Sequence[Any], frame: pd.DataFrame, count: int) -> list[Any]:
    """Take `count` rows: of new kinds and new pictures first, then of new pictures, then others."""
    kinds, pictures = frame["kind"].to_dict(), frame["clean_id"].to_dict()
    chosen: dict[Any, None] = {}
    seen: set[str] = set()
    for of_new in ((kinds, pictures), (pictures,), ()):
        for row in order:
            if len(chosen) < count and not any(names[row] in seen for names in of_new):
                chosen[row] = None
                seen |= {kinds[row], pictures[row]}
    return [row for row in order if row in chosen]


def error_map(output: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return |output - target| as uint8 HW3 colours: black 0, bright 64 levels and more."""
    return levels_map(np.abs(output.astype(np.int16) - target).mean(axis=2))


def levels_map(levels: np.ndarray) -> np.ndarray:
    """Return HW levels of 255 as uint8 HW3 colours: black 0, bright 64 levels and more."""
    grey = np.clip(levels * (255 / ERROR_FULL), 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
