"""Folders that are whole or absent: built under a hidden name beside the target, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced_folder(path: Path | str) -> Iterator[Path]:
    """Yield an empty hidden sibling of `path`; rename it to `path` when the block ends well.

    An older folder at `path` is kept until then and removed after. When the block raises, or the
    process is killed, `path` is left as it was; what a killed process left is removed next time.
    """
    target = Path(path).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    settle_leftovers(target)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    partial.mkdir()
    try:
        yield partial
        _sync_files(partial)
        _swap(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _swap(partial: Path, target: Path) -> None:
    old = partial.with_suffix(".old")
    if target.exists() or target.is_symlink():
        target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        if os.path.lexists(old):
            old.rename(target)
        raise
    _sync(target.parent)
    if old.is_symlink() or old.is_file():
        old.unlink()
    else:
        shutil.rmtree(old, ignore_errors=True)


def _sync_files(folder: Path) -> None:
    for found in folder.rglob("*"):
        _sync(found)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle_leftovers(path: Path | str) -> None:
    """Put back what a process that was killed between two renames had moved away; drop the rest."""
    target = Path(path).absolute()
    for found in target.parent.glob(f".{_escaped(target.name)}.*"):
        pid = found.name[len(target.name) + 2 :].partition(".")[0]
        if found.suffix in (".partial", ".old") and pid.isdigit() and not _alive(int(pid)):
            if found.suffix == ".old" and not os.path.lexists(target):
                found.rename(target)
            else:
                shutil.rmtree(found, ignore_errors=True)


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


@contextmanager
def replaced_file(path: Path | str) -> Iterator[Path]:
    """Yield a hidden sibling's path to write to; rename it to `path` when the block ends well."""
    target = Path(path).absolute()
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield partial
        _sync(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
