"""Learning curves: one small chart a figure, one line a training stage."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from tasks.page.drawing import QUIET, SERIES, axes, svg
from tasks.page.words import words

AXES = ("images", "minutes", "stage")
# What stands beside a figure in its chart, as a broken line: what it is to be better than
BESIDE = {"val_psnr": "val_psnr_input"}
# The figures that decide are drawn first, and against minutes too.
FIRST = ("val_psnr", "probe_gap_points", "selection_kid")


@dataclass(frozen=True)
class Panel:
    """One chart. last: the final value in words."""

    title: str
    axis: str
    last: str
    svg: Markup


def panels(history: pd.DataFrame, most_points: int) -> list[Panel]:
    """Return a panel for each figure of history.csv, the deciding one against minutes as well."""
    columns = [
        name
        for name in history.columns
        if name not in (*AXES, *BESIDE.values()) and pd.api.types.is_numeric_dtype(history[name])
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
    title, last = words(name), f"{kept[name].iloc[-1]:.4g}"
    with axes(340, 180) as chart:
        for number, stage in enumerate(stages(history)):
            part = kept[kept["stage"].astype(str) == stage] if "stage" in kept else kept
            part = part.iloc[thinned(len(part), most_points)]
            marker = "o" if len(part) == 1 else ""
            chart.plot(part[axis], part[name], color=SERIES[number % len(SERIES)], marker=marker)
        if BESIDE.get(name) in kept:
            part = kept.iloc[thinned(len(kept), most_points)]
            chart.plot(part[axis], part[BESIDE[name]], color=QUIET, linestyle="--")
        chart.margins(x=0)
        chart.locator_params(nbins=5)
        chart.grid(axis="y")
        chart.set_xlabel("images seen" if axis == "images" else axis, loc="right")
        drawn = svg(chart, f"{title} against {axis}, last value {last}")
    return Panel(title, axis, last, drawn)


def thinned(length: int, most: int) -> np.ndarray:
    """Return at most `most` evenly spread positions of 0..length - 1, first and last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(int))


def _axes_of(name: str, history: pd.DataFrame) -> list[str]:
    known = [axis for axis in ("images", "minutes") if axis in history]
    return known if name in FIRST else known[:1]
