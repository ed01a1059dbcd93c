"""Servers on loopback that end with this process: started, waited for, locked, ended."""

import atexit
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from prefect import settings

from flows import tied
from flows.stages import environment
from tasks.stage.console import discreet

HOST = "127.0.0.1"
START_SECONDS = 600.0  # on a busy machine; the end of a process ends the wait for it
END_SECONDS = 5.0  # their stores bear a kill; who pressed Ctrl-C waits
CLIENT = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
PYTHON = (sys.executable, "-m")
UVICORN = ("uvicorn", "--host", HOST, "--log-level", "warning", "--timeout-graceful-shutdown", "2")
# With leases in files, a holder that is lost frees the GPU in a minute, also over a restart.
LEASES = {
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
}


class NotServingError(RuntimeError):
    """A server did not come up, or went away."""


@contextmanager
def temporary(root: Path) -> Iterator[None]:
    """Give the flows of the block a Prefect server of their own where the profile names none.

    Unlike Prefect's own temporary server it hears no Ctrl-C, so that the flow can tell it how it
    ended, and it is gone with this process. Raises NotServingError.
    """
    wanted = settings.PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value()
    if settings.PREFECT_API_URL.value() or not wanted:
        yield
        return
    seconds = settings.PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    address = f"http://{HOST}:{(port := free_port())}"
    locks = locked(address)
    command = [*UVICORN, "--factory", "flows.guarded:temporary", "--port", str(port)]
    # Prefect's clients send their last words at exit, later than the block: there the server ends.
    stack = ExitStack()
    atexit.register(stack.close)
    log = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    process = stack.enter_context(background(command, locks, root, log))
    await_answer(f"{address}/api/health", "Prefect", process, log, seconds)
    client = {getattr(settings, name): locks[name] for name in CLIENT}
    client[settings.PREFECT_UI_URL] = ""  # it serves no pages: no links to them
    with settings.temporary_settings(client):
        yield


def locked(prefect: str) -> dict[str, str]:
    """Return the settings under which Prefect's server and clients share a password of today's.

    A foreign page knows no password, and no other origin is allowed than the server's own, which
    browsers also know by the name localhost.
    """
    given = os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    password = given or f"remint:{secrets.token_urlsafe(16)}"
    return {
        **LEASES,
        "PREFECT_API_URL": f"{prefect}/api",
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_API_AUTH_STRING": password,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"{prefect},{prefect.replace(HOST, 'localhost')}",
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    }


@contextmanager
def background(
    command: Sequence[str], env: Mapping[str, str], root: Path, log: IO[bytes]
) -> Iterator[subprocess.Popen[Any]]:
    """Run a Python program, its output in `log`, which ends with the block or this process."""
    process = tied.start(
        [*PYTHON, *command],
        END_SECONDS,
        cwd=root,
        env=environment(env),
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        tied.end(process)


def await_answer(
    url: str,
    name: str,
    process: subprocess.Popen[Any],
    log: IO[bytes],
    seconds: float = START_SECONDS,
) -> None:
    """Wait until an address answers.

    Raises NotServingError with the last words in `log` when it does not, or its process ended.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotServingError(f"{name} ended at once:\n{_last_words(log)}")
        with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    raise NotServingError(f"{name} did not answer at {url} within {seconds:.0f} s")


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    return discreet(b"".join(log.readlines()[-5:]).decode(errors="replace").rstrip())


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def refuse_taken(port: int, name: str) -> None:
    """Raise NotServingError where a port of loopback is taken: its owner would answer for ours."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise NotServingError(
                f"{name} can't have port {port}: another program listens there; end it, or name "
                f"another port with --{name.lower()}-port"
            ) from None
