"""Folders of images: flat, one subfolder a class, or real pairs of damaged and clean."""

import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from remint.ingest.items import Item, Source, SourceError, unicode_text


def folder_source(root: Path) -> Source:
    """Return every file under `root` that is not hidden, in the order of the names' bytes.

    An image's label is its first-level subfolder; images at the top have none. Links to folders
    are followed, but each real folder is read once, which cuts loops.
    """
    _need_folder(root)
    files = list(walk(root))  # once: walking a million files on a network takes minutes
    classes = sorted({names[0] for names, _ in files if len(names) > 1}, key=os.fsencode)
    labels = {name: label for label, name in enumerate(classes)}

    def items() -> Iterator[Item]:
        for names, problem in files:
            label = labels.get(names[0]) if len(names) > 1 else None
            source = unicode_text("/".join(names))
            yield Item(source, root.joinpath(*names), label=label, problem=problem)

    return Source(len(files), items, [unicode_text(name) for name in classes])


def pairs_source(root: Path) -> Source:
    """Return the pairs under `root`: damaged/X and clean/X, X the relative name without suffix."""
    halves: dict[str, dict[str, list[str]]] = defaultdict(lambda: {"clean": [], "damaged": []})
    for half in ("clean", "damaged"):
        if not (root / half).is_dir():
            raise SourceError(
                f"{root} has no folder {half!r}; real pairs stand in {root}/damaged and "
                f"{root}/clean, matched by name"
            )
        for names, _ in walk(root / half):
            name = "/".join(names)
            halves[os.path.splitext(name)[0]][half].append(f"{half}/{name}")

    def items() -> Iterator[Item]:
        for name in sorted(halves, key=os.fsencode):
            yield _pair(root, halves[name]["clean"], halves[name]["damaged"])

    return Source(len(halves), items, paired=True)


def walk(root: Path) -> Iterator[tuple[tuple[str, ...], str | None]]:
    """Yield (names below `root`, problem) of every file that is not hidden; problem: None if fine.

    Broken links, special files and folders that cannot be listed come with their problem.
    """
    seen: set[tuple[int, int]] = set()

    def visit(names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str | None]]:
        kind, problem = _kind(root.joinpath(*names), seen)
        if kind == "folder":
            try:
                below = sorted(os.listdir(root.joinpath(*names)), key=os.fsencode)
            except OSError as error:
                yield names, f"cannot be listed ({error.strerror})"
                return
            for name in below:
                if not name.startswith("."):
                    yield from visit((*names, name))
        elif kind == "file":
            yield names, problem

    return visit(())


def _kind(path: Path, seen: set[tuple[int, int]]) -> tuple[str, str | None]:
    """Return "folder", "file" or, for a folder seen before, "again"; and what is wrong with it."""
    try:
        status = os.stat(path)
    except OSError as error:
        return "file", f"cannot be opened ({error.strerror})"
    if stat.S_ISDIR(status.st_mode):
        inode = (status.st_dev, status.st_ino)
        if inode in seen:
            return "again", None
        seen.add(inode)
        return "folder", None
    return "file", None if stat.S_ISREG(status.st_mode) else "is not a regular file"


def _pair(root: Path, clean: list[str], damaged: list[str]) -> Item:
    if len(clean) == len(damaged) == 1:
        return Item(unicode_text(clean[0]), root / clean[0], damaged=root / damaged[0])
    first = (clean or damaged)[0]
    if clean and damaged:
        names = ", ".join(unicode_text(name) for name in clean + damaged)
        problem = f"has no single partner: {names} differ in their suffix only"
    else:
        problem = f"has no partner in {'damaged' if clean else 'clean'}/"
    return Item(unicode_text(first), root / first, problem=problem)


def _need_folder(root: Path) -> None:
    if not root.is_dir():
        raise SourceError(f"There is no folder {root}; put the images there or set ingest.path")
