"""What the builders of the page share: its settings, and the parts that they give."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le

from tasks.page.inputs import Inputs
from tasks.page.provenance import Provenance


@dataclass(frozen=True)
class ReportConfig:
    """The report section of params.yaml.

    slider: fixed random images with a slider. gallery: images a group. picture_pixels: longer
    sides are scaled down to it. curve_points: drawn of each curve. quarantine_rows: files listed.
    """

    title: str
    slider: Annotated[int, Ge(0), Le(1000)]
    gallery: Annotated[int, Ge(0), Le(1000)]
    picture_pixels: Annotated[int, Ge(16), Le(8192)]
    curve_points: Annotated[int, Ge(2), Le(100_000)]
    quarantine_rows: Annotated[int, Ge(0), Le(10**6)]


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor and title, the template that draws it, and what that needs."""

    anchor: str
    title: str
    template: str
    data: dict[str, Any]


Builder = Callable[[Inputs, Provenance, ReportConfig], list[Section]]
