"""Charts by matplotlib: SVG of equal bytes for equal figures, in the page's font and colours."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.page.words import short

# Stand-ins for the variables of style.css, which follow light and dark.
SERIES = ("#000010", "#000011", "#000012", "#000013")
INK, QUIET, LINE, PAPER = "#000020", "#000021", "#000022", "#000023"
VARIABLES = {
    **{colour: f"var(--s{number})" for number, colour in enumerate(SERIES)},
    **{INK: "var(--ink)", QUIET: "var(--quiet)", LINE: "var(--line)", PAPER: "var(--paper)"},
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, in the page's font
    "svg.hashsalt": "remint",
    "figure.dpi": 72,  # so that a point is a px
    "font.size": 10.5,
    "axes.axisbelow": True,
    "axes.spines.left": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": QUIET,
    "axes.linewidth": 1.0,
    "grid.color": LINE,
    "grid.linewidth": 1.0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "ytick.major.size": 0,
}
UNUSED = {"Date": None, "Creator": None, "Format": None, "Type": None}


@contextmanager
def axes(width: int, height: int) -> Iterator[Axes]:
    """Yield the axes of a new figure of width x height px, whatever a user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        drawn = Figure((width / 72, height / 72), layout="constrained").subplots()
        for axis in (drawn.xaxis, drawn.yaxis):
            axis.set_major_formatter(lambda value, _: short(value))
        yield drawn


def svg(drawn: Axes, label: str) -> Markup:
    """Return the figure as an element of the page; label: what it says to who does not see it."""
    buffer = io.StringIO()
    figure = drawn.get_figure(root=True)
    assert figure is not None
    figure.savefig(buffer, format="svg", metadata=UNUSED, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<g ") :]  # the page brings its own head and style
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'<defs>\s*<clipPath.*?</defs>\s*| clip-path="[^"]*"', "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;]*; |transform=\"rotate\(-0 [^)]*\)\"", "", text)
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d)\d+", r"\1", path[0]), text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    width, height = (round(72 * inches) for inches in figure.get_size_inches())
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">\n')
    return head.format(width, height, label) + Markup(text)
