"""Fetch a registered model into a folder, for a training to start from.

`python -m tasks.promotion.fetch restorer champion` puts it at data/start/champion, which
`train_restorer.start.model: champion` names; a generator at data/start/generator-champion. DVC
compares what lies there by content: training runs again when another model became champion, and
not before. With --or-none the folder holds none.txt alone where there is no such model yet:
training then begins with fresh weights.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from remint.core.atomic import replaced_folder
from remint.core.fingerprint import model_fingerprint
from remint.training.starting import ABSENT
from tasks.promotion.registry import ALIASES, ModelName, Registry
from tasks.stage import stage
from tasks.stage.console import say

CARDS = {"restorer": "restorer.json", "generator": "generator.json"}
BEFORE = {"restorer": "", "generator": "generator-"}  # the reference, in the folder's name


def main(argv: Sequence[str] | None = None) -> None:
    """Fetch; see --help."""
    parser = argparse.ArgumentParser(
        prog="python -m tasks.promotion.fetch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=list(CARDS))
    parser.add_argument("reference", help=f"{', '.join(ALIASES)}, or a version's number")
    parser.add_argument("--into", type=Path, default=Path("data/start"), help="the folder above it")
    parser.add_argument("--or-none", action="store_true", help="there may be no such model yet")
    given = parser.parse_args(argv)
    folder = given.into / f"{BEFORE[given.name]}{given.reference}"
    if given.or_none and none_yet(given.name, given.reference, folder):
        say(f"there is no {given.name} {given.reference} yet; {folder} says so")
        return
    fetch(given.name, given.reference, folder)
    say(f"{folder} holds the {given.name} {given.reference}, {model_fingerprint(folder)}")


def none_yet(name: ModelName, reference: str, folder: Path) -> bool:
    """Say so in `folder`, and return it, where neither the registry nor the folder has a model."""
    if (folder / CARDS[name]).exists() or Registry(name).find(reference) is not None:
        return False
    with replaced_folder(folder) as fresh:
        (fresh / ABSENT).write_text(f"The registry held no {name} {reference} yet.\n")
    return True


def fetch(name: ModelName, reference: str, folder: Path) -> None:
    """Put the registered model at `folder`, in place of what lies there; RegistryError if none."""
    kept = Registry(name).folder(reference)
    with replaced_folder(folder) as fresh:
        shutil.copytree(kept, fresh, dirs_exist_ok=True)


if __name__ == "__main__":
    stage.entry(main)
