"""One page of results: the JSON files of the subcommands in, Markdown out."""

import json
import math
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.gpu.frame import Result, Row

TINY = "At the tiny size: it says that this runs here, and nothing of speed or quality."


def page(folder: Path, abouts: Mapping[str, str]) -> str:
    """Return the page of the folder's files; abouts: what each subcommand measures, in order.

    Raises ValueError where the folder holds no result, or a file that is none.
    """
    results = read(folder)
    if not results:
        raise ValueError(f"{folder}: found no result of bench.gpu, needed files written by --out")
    parts = [_section(name, about, results.get(name)) for name, about in abouts.items()]
    return "\n\n".join(["# A day on a GPU, as measured", *parts]) + "\n"


def read(folder: Path) -> dict[str, Result]:
    """Return the results of all JSON files of a folder by subcommand."""
    found = {}
    for file in sorted(folder.glob("*.json")):
        try:
            result = Result(**json.loads(file.read_text()))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file} is no result of bench.gpu ({error}); take it away") from error
        found[result.subcommand] = result
    return found


def _section(name: str, about: str, result: Result | None) -> str:
    head = [f"## {name}", about]
    if result is None:
        return "\n\n".join([*head, "Not run."])
    took = f"On {result.device}, torch {result.torch}, in {result.seconds:g} s."
    words = [*head, took, *([TINY] if result.tiny else [])]
    if result.skipped:
        words.append(f"Skipped: {result.skipped}.")
    return "\n\n".join([*words, *tables(result.rows)])


def tables(rows: list[Row]) -> list[str]:
    """Return Markdown tables: rows of equal columns that follow each other share one."""
    return [_table(columns, list(group)) for columns, group in groupby(rows, tuple)]


def _table(columns: tuple[str, ...], rows: list[Row]) -> str:
    lines = [columns, ["---"] * len(columns), *([told(row[n]) for n in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def told(value: Any) -> str:
    """Return a value as a cell: four figures that count, thousands set apart."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value).replace("|", "/").replace("\n", " ")
    if isinstance(value, int) or not math.isfinite(value):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
