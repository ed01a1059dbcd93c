"""Learning curves as inline SVG: one small panel a figure, one line a training stage."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tasks.page.words import short, words

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 32
AXES = ("images", "minutes", "stage")
Place = Callable[[Any], Any]  # values to pixels
# The figures that decide are drawn first, and against minutes too.
FIRST = ("val_psnr", "probe_gap_points", "selection_kid")


@dataclass(frozen=True)
class Line:
    """points: SVG `points` in panel px, a lone one twice; stage: number of the training stage."""

    points: str
    stage: int


@dataclass(frozen=True)
class Panel:
    """One chart. ticks: (pixel, label); last: the final value in words; crossings: stage starts."""

    title: str
    axis: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    last: str


def panels(history: pd.DataFrame, most_points: int) -> list[Panel]:
    """Return a panel for each figure of history.csv, the deciding one against minutes as well."""
    columns = [
        name
        for name in history.columns
        if name not in AXES and pd.api.types.is_numeric_dtype(history[name])
    ]
    ordered = sorted(columns, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    wanted = [(name, axis) for name in ordered for axis in _axes_of(name, history)]
    drawn = [panel(history, name, axis, most_points) for name, axis in wanted]
    return [chart for chart in drawn if chart is not None]


def stages(history: pd.DataFrame) -> list[str]:
    """Return the names of the training stages in their order."""
    return list(dict.fromkeys(history["stage"].astype(str))) if "stage" in history else [""]


def panel(history: pd.DataFrame, name: str, axis: str, most_points: int) -> Panel | None:
    """Draw column `name` against `axis`; None where it holds fewer than two finite values."""
    kept = history[np.isfinite(history[name]) & np.isfinite(history[axis])]
    if len(kept) < 2:
        return None
    x_ticks, y_ticks = nice_ticks(kept[axis], 4), nice_ticks(kept[name], 4)
    x_range = (float(kept[axis].min()), float(kept[axis].max()))
    y_range = (min(y_ticks[0], kept[name].min()), max(y_ticks[-1], kept[name].max()))
    place_x = _scale(x_range, (LEFT, WIDTH - RIGHT))
    place_y = _scale(y_range, (HEIGHT - BOTTOM, TOP))
    lines = []
    for number, stage in enumerate(stages(history)):
        part = kept[kept["stage"].astype(str) == stage] if "stage" in kept else kept
        part = part.iloc[thinned(len(part), most_points)]
        pairs = zip(place_x(part[axis]), place_y(part[name]), strict=True)
        dots = [f"{x:.1f},{y:.1f}" for x, y in pairs]
        if dots:
            lines.append(Line(" ".join(dots if len(dots) > 1 else 2 * dots), number))
    return Panel(
        title=words(name),
        axis=axis,
        lines=lines,
        x_ticks=_placed(x_ticks, place_x, x_range),
        y_ticks=_placed(y_ticks, place_y, y_range),
        last=f"{kept[name].iloc[-1]:.4g}",
    )


def thinned(length: int, most: int) -> np.ndarray:
    """Return at most `most` evenly spread positions of 0..length - 1, first and last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(int))


def nice_ticks(values: Sequence[float] | pd.Series, most: int) -> list[float]:
    """Return up to about `most` round numbers that span the values (1, 2 or 5 times 10^n apart)."""
    low, high = float(np.min(values)), float(np.max(values))
    span = (high - low) or abs(high) or 1.0
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(step * index, 12) for index in range(first, last + 1)]


def _axes_of(name: str, history: pd.DataFrame) -> list[str]:
    found = [axis for axis in ("images", "minutes") if axis in history]
    return found if name in FIRST else found[:1]


def _scale(values: tuple[float, float], pixels: tuple[float, float]) -> Place:
    span = (values[1] - values[0]) or 1.0
    return lambda x: pixels[0] + (np.asarray(x) - values[0]) / span * (pixels[1] - pixels[0])


def _placed(ticks: list[float], place: Place, span: tuple[float, float]) -> list[tuple[float, str]]:
    return [(float(place(tick)), short(tick)) for tick in ticks if span[0] <= tick <= span[1]]
