"""Where an export may go: a new folder of its own, away from everything that is trained on."""

import re
from collections.abc import Iterable
from pathlib import Path

from remint.core.stores import Place

# a folder that holds one of these is an image set, a model, or an export
SIGNS = ("part-00000.parquet", "generator.json", "restorer.json", "manifest.parquet")
UNSAFE = re.compile(r'[\x00-\x1f\x7f%/\\:*?"<>|\[\]]|^[. ]|[. ]$')


def check_destination(out: Path, inputs: Iterable[Place]) -> None:
    """Raise ValueError where an export to `out` would overwrite something or mix with data.

    inputs: folders that are trained on or read from; `out` may neither lie in one nor hold one.
    """
    check_fresh(out)
    target = out.resolve()
    for folder in (place for place in inputs if isinstance(place, Path)):
        known = folder.resolve()
        if target.is_relative_to(known) or known.is_relative_to(target):
            raise ValueError(
                f"{out} and {folder} lie in one another: minted images would be taken for real "
                "ones; choose a folder elsewhere"
            )
    for parent in target.parents:
        sign = next((name for name in SIGNS if (parent / name).exists()), None)
        if sign:
            raise ValueError(
                f"{out} lies inside {parent}, which holds {sign}: a set, a model or another "
                "export; choose a folder elsewhere"
            )


def check_fresh(out: Path) -> None:
    """Raise ValueError unless `out` is absent or an empty folder."""
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ValueError(f"{out} exists already and is never overwritten; remove it or rename it")


def folder_name(name: str) -> str:
    """Return a class name as a folder's name: what file systems forbid stands as %XX."""
    safe = UNSAFE.sub(lambda match: "".join(f"%{ord(c):02X}" for c in match.group()), name)
    return safe or "%"
