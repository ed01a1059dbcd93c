"""What the builders of the page share: its settings, and the parts that they give."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks.page.inputs import Inputs
from tasks.page.provenance import Provenance


@dataclass(frozen=True)
class ReportConfig:
    """The report section of params.yaml.

    slider: fixed random images with a slider. gallery: images a group. picture_pixels: longer
    sides are scaled down to it. curve_points: drawn of each curve. quarantine_rows: files listed.
    """

    title: str
    slider: int
    gallery: int
    picture_pixels: int
    curve_points: int
    quarantine_rows: int

    def __post_init__(self) -> None:
        least = {"slider": 0, "gallery": 0, "picture_pixels": 16, "curve_points": 2}
        for name, smallest in {**least, "quarantine_rows": 0}.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {smallest} or more")


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor and title, the template that draws it, and what that needs."""

    anchor: str
    title: str
    template: str
    data: dict[str, Any]


Builder = Callable[[Inputs, Provenance, ReportConfig], list[Section]]
