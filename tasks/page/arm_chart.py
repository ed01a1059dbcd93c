"""The chart of usefulness: a dot an arm, with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tasks.page.drawing import INK, PAPER, SERIES, axes, svg
from tasks.page.words import share

WIDTH, ROW, FOOT = 720, 28, 30
NAMES = 12  # px
CONTROLS = ("real_duplicates", "real_shuffled")


@dataclass(frozen=True)
class ArmChart:
    """All arms of one fraction."""

    title: str
    svg: Markup


def charts(arms: Sequence[Mapping[str, Any]]) -> list[ArmChart]:
    """Return a chart for each fraction of utility.json's arms, all on one axis."""
    if not arms:
        return []
    low, high = min(arm["accuracy_low"] for arm in arms), max(arm["accuracy_high"] for arm in arms)
    room = 0.05 * (high - low)
    span = (max(0.0, low - room), min(1.0, high + room))
    return [
        _chart(fraction, [arm for arm in arms if arm["fraction"] == fraction], span)
        for fraction in dict.fromkeys(arm["fraction"] for arm in arms)
    ]


def _chart(fraction: str, arms: Sequence[Mapping[str, Any]], span: tuple[float, float]) -> ArmChart:
    titles = [f"{arm['title']}: {arm['images']:,}" for arm in arms]
    with axes(WIDTH, ROW * len(arms) + FOOT) as chart:
        for row, arm in enumerate(arms):
            colour = SERIES[_kind(arm["arm"])]
            interval = (arm["accuracy_low"], arm["accuracy_high"])
            chart.plot(interval, (row, row), color=colour)
            chart.plot(arm["accuracy"], row, "o", color=colour, mfc=PAPER, mew=3, ms=9)
            text, spot = share(arm["accuracy"]), (interval[1], row)
            chart.annotate(
                text, spot, (8, 0), textcoords="offset points", va="center", color=INK, size=NAMES
            )
        chart.set_yticks(range(len(arms)), titles, color=INK, size=NAMES)
        chart.set_xlim(*span)
        chart.set_ylim(len(arms) - 0.5, -0.5)
        digits = 0 if span[1] - span[0] >= 0.05 else 1
        chart.xaxis.set_major_formatter(lambda value, _: share(value, digits))
        chart.grid(axis="x")
        told = (
            f"{title} {share(arm['accuracy'])}" for title, arm in zip(titles, arms, strict=True)
        )
        drawn = svg(chart, f"Accuracy by what the classifier was trained on: {', '.join(told)}")
    real = f"{arms[0]['real_images']:,} real training images"
    return ArmChart(f"{fraction}: {real}; each arm with its number of different images", drawn)


def _kind(arm: str) -> int:
    """Return the colour: 0 real alone, 1 with minted images, 2 distillation, 3 a control."""
    if arm in CONTROLS:
        return 3
    if arm.endswith("_soft"):
        return 2
    return 1 if "synthetic" in arm else 0
