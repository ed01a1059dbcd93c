"""Image sets as they come to be: built aside, then put in place at once, here or in a store.

A store renames no folders. There a set lies in a folder of its own, `remint-` and hex digits,
below its address, and is a plain set itself; the address' counts file names the one that holds.
"""

import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir
from uuid import uuid4

from filelock import FileLock, Timeout

from remint.core import atomic
from remint.core.stores import Place, StoreError, StorePath, reached

COUNTS_FILE = "_tally.json"  # how many shards and rows; readers of Parquet pass over names with _
SHARDS = "part-*.parquet"
OURS = re.compile(r"remint-[0-9a-f]{16,32}")


def current(place: Place) -> Place:
    """Return the folder with the shards of the set at `place`."""
    if not isinstance(place, StorePath):
        return place
    try:
        name = json.loads((place / COUNTS_FILE).read_text()).get("folder", "")
    except (FileNotFoundError, json.JSONDecodeError):
        return place
    return place / name if OURS.fullmatch(name) else place


def replaced_set(place: Place) -> AbstractContextManager[Place]:
    """Yield an empty folder to build a set in; it is put at `place` when the block ends well.

    See `atomic.replaced_folder`. Raises StoreError for a store that is not reached or refuses.
    """
    return _replaced(place) if isinstance(place, StorePath) else atomic.replaced_folder(place)


@contextmanager
def _replaced(target: StorePath) -> Iterator[StorePath]:
    _tidy(target, current(target).name)
    fresh = target / f"remint-{uuid4().hex}"
    try:
        with reached(target):
            yield fresh
    except BaseException:
        with suppress(StoreError):
            fresh.remove_folder()
        raise
    put_in_place(fresh, target)


def resumed_folder(place: Place, key: str) -> Place:
    """Return the folder in which building the set at `place`, known by this key, is gone on with.

    See `atomic.resumed_folder`. Raises StoreError as `replaced_set` does.
    """
    if not isinstance(place, StorePath):
        return atomic.resumed_folder(place, key)
    begun = place / f"remint-{key}"
    _tidy(place, current(place).name, begun.name)
    return begun


@contextmanager
def made_alone(place: Place) -> Iterator[None]:
    """Hold a set's name on this machine until the block ends; the kernel's lock, so no kill stays.

    Raises ValueError where another process holds it.
    """
    name = str(place.absolute()).encode("utf-8", "surrogateescape")
    key = blake2b(name, digest_size=16).hexdigest()
    lock = FileLock(Path(gettempdir()) / f"remint-set-{key}.lock", mode=0o666)
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        raise ValueError(
            f"{place} is being made by another process; wait for it, or stop it"
        ) from None
    with held:
        yield


def drop_folder(folder: Place) -> None:
    """Remove a folder that `resumed_folder` gave; what stays for a fault goes next time."""
    if isinstance(folder, StorePath):
        with suppress(StoreError):
            folder.remove_folder()
    else:
        rmtree(folder, ignore_errors=True)


def put_in_place(built: Place, place: Place) -> None:
    """Make a finished folder the set at `place`, at once; an older set there is removed.

    Raises StoreError where another process that wrote to this address removed the folder.
    """
    if isinstance(built, StorePath) and isinstance(place, StorePath):
        shards = json.loads((built / COUNTS_FILE).read_text())["shards"]
        if len(list(built.glob(SHARDS))) != shards:
            raise StoreError(f"{place}: another process wrote there meanwhile; write it again.")
        (place / COUNTS_FILE).write_text(json.dumps({"folder": built.name}) + "\n")
        with suppress(StoreError):  # what is left over goes next time
            _tidy(place, built.name)
            for shard in place.glob(SHARDS):  # of a set that was copied there
                shard.unlink()
    elif isinstance(built, Path) and isinstance(place, Path):
        atomic.put_in_place(built, place)


def replaced_file(place: Place, synced: bool = True) -> AbstractContextManager[Place]:
    """Yield another place to write to, which becomes `place` when the block ends well.

    synced: see `atomic.replaced_file`; an object in a store is whole either way.
    """
    if isinstance(place, StorePath):
        return _replaced_object(place)
    return atomic.replaced_file(place, synced)


@contextmanager
def _replaced_object(target: StorePath) -> Iterator[StorePath]:
    fresh = target.with_suffix(f".{uuid4().hex}.fresh")
    try:
        with reached(target):
            yield fresh
        fresh.replace(target)
    except BaseException:
        with suppress(StoreError, FileNotFoundError):
            fresh.unlink()
        raise


def _tidy(target: StorePath, *keep: str) -> None:
    """Remove what earlier and killed writes have left at a set's address."""
    for folder in target.iterdir():
        if OURS.fullmatch(folder.name) and folder.name not in keep:
            folder.remove_folder()
