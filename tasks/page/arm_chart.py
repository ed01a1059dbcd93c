"""The chart of usefulness as inline SVG: a dot an arm, with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.page.curves import nice_ticks
from tasks.page.words import share

WIDTH, LEFT, RIGHT, ROW, TOP, FOOT = 640, 232, 64, 28, 8, 26


@dataclass(frozen=True)
class Dot:
    """One arm in px: y of its middle, x of its accuracy and of its interval's ends."""

    title: str
    y: float
    x: float
    low: float
    high: float
    figure: str
    kind: int


@dataclass(frozen=True)
class Chart:
    """All arms of one fraction; ticks: (px, label); start: px where the names end."""

    title: str
    dots: list[Dot]
    ticks: list[tuple[float, str]]
    start: float
    height: int


def charts(arms: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Return a chart for each fraction of utility.json's arms, all on one axis."""
    values = [arm[name] for arm in arms for name in ("accuracy_low", "accuracy_high")]
    axis = [tick for tick in nice_ticks(values, 5) if 0.0 <= tick <= 1.0] if values else []
    return [
        _chart(fraction, [arm for arm in arms if arm["fraction"] == fraction], axis)
        for fraction in dict.fromkeys(arm["fraction"] for arm in arms)
    ]


def _chart(fraction: str, arms: Sequence[Mapping[str, Any]], axis: Sequence[float]) -> Chart:
    first, span = axis[0], (axis[-1] - axis[0]) or 1.0

    def place(value: float) -> float:
        inside = min(max(value, first), axis[-1])
        return LEFT + (inside - first) / span * (WIDTH - LEFT - RIGHT)

    dots = [
        Dot(
            title=str(arm.get("title", arm["arm"])),
            y=TOP + ROW * (number + 0.5),
            x=place(arm["accuracy"]),
            low=place(arm["accuracy_low"]),
            high=place(arm["accuracy_high"]),
            figure=share(arm["accuracy"]),
            kind=_kind(arm["arm"]),
        )
        for number, arm in enumerate(arms)
    ]
    title = f"{fraction}: {arms[0]['real_images']:,} real training images"
    digits = 0 if span >= 0.05 else 1
    ticks = [(place(tick), share(tick, digits)) for tick in axis]
    return Chart(title, dots, ticks, float(LEFT), TOP + ROW * len(arms) + FOOT)


def _kind(arm: str) -> int:
    """Return the colour: 0 real alone, 1 with minted images, 3 a control."""
    if arm in ("real_duplicates", "real_shuffled"):
        return 3
    return 1 if "synthetic" in arm else 0
