"""A command whose words are shown without the passwords in addresses: `make run` calls DVC so.

python -m flows.discreetly dvc repro

What is a terminal here is one for the command, too, so that bars stay bars; what is a file or a
pipe is a pipe. The command is of this process's group: Ctrl-C reaches it as it would alone. All
that it wrote is shown; what it leaves running in the background is not waited for.
"""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from tasks.stage.console import discreet

OUT, ERR = 1, 2
BLOCK = 2**16
# What a pipe or a pty holds of a command that has ended is less, and is there within this time
LAST_BYTES, LAST_SECONDS = 2**20, 0.5
UNKNOWN, NOT_STARTED = 127, 126  # as a shell's
# The end of what has come so far, where it may be the beginning of an address with a password
BEGUN = re.compile(r"://[^/\s]*\Z|:/?\Z|\Z")


def main(argv: Sequence[str]) -> int:
    """Run a command to its end; return its status, 128 + the signal where one ended it."""
    _open_what_is_closed()
    together = os.path.sameopenfile(OUT, ERR)  # then one channel keeps the lines in their order
    channels = [_channel(stream) for stream in ((OUT,) if together else (OUT, ERR))]
    _mind_no(signal.SIGINT)
    try:
        process = subprocess.Popen(argv, stdout=channels[0][1], stderr=channels[-1][1])
    except OSError as error:
        os.write(ERR, discreet(f"error: can't start {argv[0]}: {error.strerror}\n").encode())
        return UNKNOWN if isinstance(error, FileNotFoundError) else NOT_STARTED
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    ended, pumps = threading.Event(), []
    for (source, given), stream in zip(channels, (OUT, ERR), strict=False):
        os.close(given)
        pumps.append(threading.Thread(target=_pump, args=(source, stream, ended)))
        pumps[-1].start()
    code = process.wait()
    ended.set()
    for pump in pumps:
        pump.join()
    return code if code >= 0 else 128 - code


def _open_what_is_closed() -> None:
    """Let what goes to a closed stream go nowhere; a new pipe would take its number."""
    for stream in range(ERR + 1):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one


def _mind_no(sign: signal.Signals) -> None:
    """Go on where this signal comes; unlike to be ignored, that is not handed on to a command."""
    if signal.getsignal(sign) is not signal.SIG_IGN:
        signal.signal(sign, lambda *_: None)


def _channel(stream: int) -> tuple[int, int]:
    """Return two ends: what is written into the second comes out of the first."""
    if not os.isatty(stream):
        return os.pipe()
    ours, given = pty.openpty()
    settings = termios.tcgetattr(given)
    settings[1] &= ~termios.OPOST  # the real terminal makes its line ends itself
    termios.tcsetattr(given, termios.TCSANOW, settings)
    size = fcntl.ioctl(stream, termios.TIOCGWINSZ, bytes(8))
    fcntl.ioctl(given, termios.TIOCSWINSZ, size)
    return ours, given


def _pump(source: int, stream: int, ended: threading.Event) -> None:
    """Write all that comes out of `source`; the command hears where nobody reads it any more."""
    try:
        with suppress(BrokenPipeError):
            for text in masked(_blocks(source, ended)):
                _write(stream, text.encode("utf-8", "surrogateescape"))
    finally:
        os.close(source)


def _write(stream: int, rest: bytes) -> None:
    while rest:
        try:
            rest = rest[os.write(stream, rest) :]
        except BlockingIOError:  # another program made it so, for all who write there
            select.select([], [stream], [])


def _blocks(source: int, ended: threading.Event) -> Iterator[bytes]:
    """Yield what comes, until nobody writes any more, or the command doesn't and all was read."""
    size, waited = 0, 0.0  # since the command ended
    with suppress(OSError):  # EIO: the last who held the other end of a pty has closed it
        while size < LAST_BYTES:
            over, begun = ended.is_set(), time.monotonic()
            if not _comes(source, 0):
                if waited > LAST_SECONDS:
                    return
                _comes(source, LAST_SECONDS / 5)
                waited += over * (time.monotonic() - begun)
            elif block := os.read(source, BLOCK):
                size += over * len(block)
                yield block
            else:
                return


def _comes(source: int, seconds: float) -> bool:
    return bool(select.select([source], [], [], seconds)[0])


def masked(blocks: Iterator[bytes]) -> Iterator[str]:
    """Yield the text of blocks at once, but for an address that has only begun, discreet."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    held = ""
    for block in blocks:
        text = held + decoder.decode(block)
        begun = BEGUN.search(text)
        assert begun is not None
        held = text[begun.start() :]
        yield discreet(text[: begun.start()])
    yield discreet(held + decoder.decode(b"", final=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
