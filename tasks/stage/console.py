"""What a person sees of a running stage: a bar on a terminal, plain lines in a log."""

import re
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0

T = TypeVar("T")


def discreet(text: str) -> str:
    """Return the text with user names and passwords inside addresses replaced by stars."""
    return re.sub(r"://[^/\s]+@", "://***@", text)


def say(text: str) -> None:
    """Print one line at once, so that a log shows it when it happens; bars are not torn.

    Passwords inside addresses are not shown.
    """
    text = discreet(text)
    if sys.stdout.isatty():
        tqdm.write(text)
    else:
        print(text, flush=True)


def progress(iterable: Iterable[T], total: int | None = None, label: str = "") -> Iterator[T]:
    """Yield the items of `iterable`, showing how far it is.

    total: number of items, taken from the iterable where it has a length. On a terminal a bar that
    goes away when done, else a line about every ten seconds and one at the end.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if sys.stderr.isatty():
        return iter(tqdm(iterable, total=total, desc=label or None, leave=False))
    return _lines(iterable, total, label)


def _lines(iterable: Iterable[T], total: int | None, label: str) -> Iterator[T]:
    start = spoken = time.monotonic()
    done = 0
    for item in iterable:
        yield item
        done += 1
        now = time.monotonic()
        if now - spoken >= SECONDS_BETWEEN_LINES:
            say(_line(label, done, total, now - start))
            spoken = now
    say(_line(label, done, total, time.monotonic() - start))


def _line(label: str, done: int, total: int | None, seconds: float) -> str:
    count = f"{done:,}" if total is None else f"{done:,} of {total:,}"
    return f"{label or 'progress'}: {count} in {seconds:.0f} s"
