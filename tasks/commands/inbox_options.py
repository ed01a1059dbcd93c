"""The options of `remint inbox`, apart from what it imports."""

import argparse
from pathlib import Path

from tasks.commands.model_choice import MODEL_HELP


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of one pass."""
    add = parser.add_argument
    add("inbox", metavar="IN", type=Path, help="the folder that is watched")
    add("out", metavar="OUT", type=Path, help="where results, ledger and quarantine list go")
    add("--model", default="champion", help=MODEL_HELP)
    add("--again", action="store_true", help="also what another model restored before")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where it runs")
    add("--json", action="store_true", help="the counts as JSON in the last line")
