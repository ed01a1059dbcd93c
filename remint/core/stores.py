"""Places in S3 stores, written `s3://bucket/folder`, beside the paths of this machine.

Keys, region and endpoint are what the environment says (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_DEFAULT_REGION, AWS_ENDPOINT_URL) or `~/.aws`. Nothing of S3 is loaded before a store is asked.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SCHEME = "s3://"
# Arrow's names of what a store answers.
AWAY = {"NETWORK_CONNECTION", "REQUEST_TIMEOUT", "SERVICE_UNAVAILABLE", "SLOW_DOWN", "THROTTLING"}
REFUSED = {
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "REQUEST_EXPIRED",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
}


class StoreError(ValueError):
    """Raised when a store is not reached, has no such bucket, or refuses; says what to do.

    Its cause is a ConnectionError where a later try may do better.
    """


@dataclass(frozen=True)
class StorePath:
    """A place in a store, with those of pathlib's words that image sets need.

    Every method raises StoreError, and FileNotFoundError for an object that is not there.
    """

    key: str  # bucket/folder/name

    def __str__(self) -> str:
        return SCHEME + self.key

    def __truediv__(self, name: str) -> "StorePath":
        return StorePath(f"{self.key}/{name}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> "StorePath":
        """The folder that this is in."""
        return StorePath(self.key.rpartition("/")[0])

    def absolute(self) -> "StorePath":
        """Return this place: it depends on no working folder."""
        return self

    def with_suffix(self, suffix: str) -> "StorePath":
        """Return the place whose name has another ending."""
        return self.parent / (self.name.rpartition(".")[0] + suffix)

    def iterdir(self) -> Iterator["StorePath"]:
        """Yield what lies directly in this folder, in order; nothing where there is none."""
        from pyarrow.fs import FileSelector

        with reached(self):
            try:
                found = _filesystem().get_file_info(FileSelector(self.key))
            except FileNotFoundError:
                return
        yield from map(StorePath, sorted(info.path for info in found))

    def glob(self, pattern: str) -> Iterator["StorePath"]:
        """Yield those directly in this folder whose names fit."""
        return (place for place in self.iterdir() if fnmatchcase(place.name, pattern))

    def is_dir(self) -> bool:
        """Say whether anything lies in this folder."""
        return any(True for _ in self.iterdir())

    def open(self, mode: str) -> Any:
        """Open the object for reading ("rb"); `reached` explains what reading then raises."""
        assert mode == "rb"
        with reached(self):
            return _filesystem().open_input_stream(self.key)

    def read_text(self) -> str:
        """Return the object's UTF-8 text."""
        with reached(self), self.open("rb") as file:
            text: bytes = file.read()
        return text.decode()

    def write_text(self, text: str) -> None:
        """Write the object at once, in place of an older one."""
        with reached(self), _filesystem().open_output_stream(self.key) as file:
            file.write(text.encode())

    def replace(self, target: "StorePath") -> None:
        """Move the object, within the store."""
        with reached(self):
            _filesystem().move(self.key, target.key)

    def unlink(self) -> None:
        """Remove the object."""
        with reached(self):
            _filesystem().delete_file(self.key)

    def remove_folder(self) -> None:
        """Remove all that lies below; nothing where there is nothing."""
        with reached(self):
            try:
                _filesystem().delete_dir(self.key)
            except FileNotFoundError:
                return


Place = Path | StorePath


def located(address: Place | str) -> Place:
    """Return the place of an address: in a store where it begins with s3://, else a path.

    Raises StoreError for an address in a store that names no folder.
    """
    if not str(address).startswith(SCHEME):
        return address if isinstance(address, StorePath) else Path(address)
    bucket, _, folder = str(address).removeprefix(SCHEME).rstrip("/").partition("/")
    if not bucket or "" in folder.split("/"):
        raise StoreError(f"{address} names no folder in a store; write s3://bucket/folder.")
    return StorePath(f"{bucket}/{folder}")


def readable(place: Place) -> Any:
    """Return what pyarrow reads a file from: its path, or the object, opened."""
    return place if isinstance(place, Path) else _filesystem().open_input_file(place.key)


def writable(place: Place) -> tuple[str | Path, Any]:
    """Return where pyarrow writes a file, and the filesystem (None: this machine's)."""
    return (place, None) if isinstance(place, Path) else (place.key, _filesystem())


def kept_beside(place: Place) -> Path:
    """Return the folder of this machine for what is made of the folder at `place`.

    It is the one that it lies in, or for one in a store its own in the user's cache.
    """
    if isinstance(place, Path):
        return place.parent
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "remint" / place.key


@contextmanager
def reached(place: Place) -> Iterator[None]:
    """Turn what a store answers when it fails into StoreError; all else passes."""
    try:
        yield
    except OSError as error:
        code = re.search(r"AWS Error (\w+)", str(error))
        if isinstance(place, Path) or code is None:
            raise
        cause = ConnectionError(str(error)) if code[1] in AWAY else error
        raise StoreError(_sentence(place, code[1], str(error).splitlines()[0])) from cause


def _sentence(place: StorePath, code: str, reason: str) -> str:
    if code in AWAY:
        return (
            f"{place}: the store at {_host()} is not to be reached ({code}); look at "
            "AWS_ENDPOINT_URL and the network, or try again later."
        )
    if code == "NO_SUCH_BUCKET":
        bucket = place.key.partition("/")[0]
        return f"{place}: there is no bucket {bucket} at {_host()}; make it or name another."
    if code in REFUSED:
        return (
            f"{place}: {_host()} refuses these keys ({code}); look at AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and what they may do in the bucket."
        )
    return f"{place}: the store at {_host()} fails ({reason})."


def _host() -> str:
    return urlsplit(_endpoint()).netloc.rpartition("@")[2] or "AWS"


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _filesystem() -> Any:
    return _connected(_endpoint())


@cache
def _connected(endpoint: str) -> Any:
    from pyarrow.fs import S3FileSystem

    patient = {"connect_timeout": 10.0, "request_timeout": 60.0}  # seconds; Arrow has 1 and 3
    return S3FileSystem(endpoint_override=endpoint or None, **patient)
