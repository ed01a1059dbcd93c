"""Folders that are whole or absent: built under a hidden name beside the target, then renamed."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 200  # bytes of a name that a hidden sibling carries whole
PARTIAL, OLD = ".partial", ".old"  # how hidden names end: of what is written, of what it replaces
MANY = 100  # files from which one sync of everything is cheaper than one each


@contextmanager
def replaced_folder(path: Path | str) -> Iterator[Path]:
    """Yield an empty hidden sibling of `path`; rename it to `path` when the block ends well.

    An older folder at `path` is kept until then and removed after. When the block raises, or the
    process is killed, `path` is left as it was; what a killed process left is removed next time.
    """
    target = Path(path).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    settle_leftovers(target)
    partial = _hidden(target, PARTIAL)
    partial.mkdir()
    try:
        yield partial
        _sync_files(partial)
        _swap(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def put_in_place(built: Path, path: Path | str) -> None:
    """Rename a finished folder beside `path` to it, at once; an older folder there is removed."""
    target = Path(path).absolute()
    settle_leftovers(target)
    _sync_files(built)
    _swap(built, target)


def resumed_folder(path: Path | str, key: str) -> Path:
    """Return the hidden sibling of `path` in which work known by this key is gone on with.

    It is empty where there was none; what was begun under other keys is removed.
    """
    target = Path(path).absolute()
    short = _short(target.name)
    begun = target.with_name(f".{short}.{key}.parts")
    for other in target.parent.glob(f".{_escaped(short)}.*.parts"):
        if other != begun:
            shutil.rmtree(other, ignore_errors=True)
    begun.mkdir(parents=True, exist_ok=True)
    return begun


def _swap(partial: Path, target: Path) -> None:
    old = _hidden(target, OLD)
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
    """Bring all that is in the folder to the disk: with many files by one sync of all systems."""
    paths = [folder, *folder.rglob("*")]
    if len(paths) > MANY:
        os.sync()
        return
    for path in paths:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _hidden(target: Path, ending: str) -> Path:
    """Return a hidden sibling of `target` for this process, however long its name is."""
    return target.with_name(f".{_short(target.name)}.{os.getpid()}{ending}")


def _short(name: str) -> str:
    """Return the name, or for one that leaves no room in 255 bytes a hash in its place."""
    raw = os.fsencode(name)
    return name if len(raw) <= LONGEST else hashlib.blake2b(raw, digest_size=16).hexdigest()


def settle_leftovers(path: Path | str) -> None:
    """Put back what a process that was killed between two renames had moved away; drop the rest."""
    target = Path(path).absolute()
    short = _short(target.name)
    for leftover in target.parent.glob(f".{_escaped(short)}.*"):
        pid = leftover.name[len(short) + 2 :].partition(".")[0]
        if leftover.suffix in (PARTIAL, OLD) and pid.isdigit() and not _alive(int(pid)):
            if leftover.suffix == OLD and not os.path.lexists(target):
                leftover.rename(target)
            else:
                shutil.rmtree(leftover, ignore_errors=True)


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
def replaced_file(path: Path | str, synced: bool = True) -> Iterator[Path]:
    """Yield a hidden sibling's path to write to; rename it to `path` when the block ends well.

    synced: it is on the disk by then; else, once the power has gone, it may be there and not whole.
    """
    target = Path(path).absolute()
    partial = _hidden(target, PARTIAL)
    try:
        yield partial
        if synced:
            _sync(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
