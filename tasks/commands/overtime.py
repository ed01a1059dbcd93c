"""An end to what can't be interrupted: a decoder, or a tile, that does not come back.

A JPEG of some megabytes may ask for a hundred thousand passes over its pixels. Only the process
can be ended then, by a thread that tells first whose fault it was. Pillow's decoders of JPEG 2000
and AVIF let no other thread run: they are waited for.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def watched(seconds: float, tell: Callable[[], None]) -> Iterator[None]:
    """End this process with EX_TEMPFAIL (75), after `tell`, where the block takes longer."""
    timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), _end, [tell])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(tell: Callable[[], None]) -> None:
    try:
        tell()
    finally:
        os._exit(os.EX_TEMPFAIL)
