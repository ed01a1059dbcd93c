"""Download one file, as a process of its own: its clock ends it wherever it waits, in a name's
look-up or in a server's drops.

  python -I download.py URL FILE SECONDS BYTES

It exits with 1 and one line on stderr where nothing came. It imports nothing but the standard
library, so that it starts at once.
"""

import http.client
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

SILENCE = 15.0  # s that a server may say nothing
BLOCK = 1 << 16


def main(url: str, file: str, seconds: str, most: str) -> None:
    """Write what stands at the address to the file; SIGALRM ends the process after `seconds`.

    Raises SystemExit with the reason where the server cannot be reached, refuses, or sends more
    than `most` bytes.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, float(seconds))
    try:
        _copy(url, Path(file), int(most))
    except urllib.error.HTTPError as error:
        sys.exit(f"the server said {error.code} {error.reason}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        sys.exit(getattr(reason, "strerror", None) or str(reason) or type(error).__name__)


def _copy(url: str, file: Path, most: int) -> None:
    with urllib.request.urlopen(url, timeout=SILENCE) as answer, file.open("wb") as out:
        while block := answer.read(BLOCK):
            out.write(block)
            if out.tell() > most:
                raise ValueError(f"the server sent more than {most} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
