"""A command whose words are shown without the passwords in addresses: `make run` calls DVC so.

python -m flows.discreetly dvc repro

What is a terminal here is one for the command, too, so that bars stay bars; what is a file or a
pipe is a pipe. The command is of this process's group: Ctrl-C reaches it as it would alone.
"""

import codecs
import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

from tasks.stage.console import discreet

OUT, ERR = 1, 2
BLOCK = 2**16
# The end of what has come so far, where it may be the beginning of an address with a password
BEGUN = re.compile(r"://[^/\s]*\Z|:/?\Z|\Z")


def main(argv: Sequence[str]) -> int:
    """Run a command to its end; return its status, 128 + the signal where one ended it."""
    together = os.path.sameopenfile(OUT, ERR)  # then one channel keeps the lines in their order
    channels = [_channel(stream) for stream in ((OUT,) if together else (OUT, ERR))]
    _mind_no(signal.SIGINT)
    process = subprocess.Popen(argv, stdout=channels[0][1], stderr=channels[-1][1])
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    pumps = []
    for (source, given), stream in zip(channels, (OUT, ERR), strict=False):
        os.close(given)
        pumps.append(threading.Thread(target=_pump, args=(source, stream)))
        pumps[-1].start()
    code = process.wait()
    for pump in pumps:
        pump.join()
    return code if code >= 0 else 128 - code


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


def _pump(source: int, stream: int) -> None:
    """Write all that comes out of `source`; the command hears where nobody reads it any more."""
    try:
        with suppress(BrokenPipeError):
            for text in masked(_blocks(source)):
                rest = text.encode("utf-8", "surrogateescape")
                while rest:
                    rest = rest[os.write(stream, rest) :]
    finally:
        os.close(source)


def _blocks(source: int) -> Iterator[bytes]:
    with suppress(OSError):  # EIO: the last who held the other end of a pty has closed it
        while block := os.read(source, BLOCK):
            yield block


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
