"""What a flow tells Prefect must never cost the work that it tells of."""

from collections.abc import Iterator
from contextlib import contextmanager
from logging import Logger, LoggerAdapter

import httpx


class PrefectAwayError(RuntimeError):
    """The server went away before it was told how the run ended."""


@contextmanager
def server_may_be_away(log: Logger | LoggerAdapter[Logger]) -> Iterator[None]:
    """Go on with a warning where Prefect's server can't be reached."""
    try:
        yield
    except httpx.TransportError as error:
        log.warning("Prefect's server did not take the artifacts: %s", error)


@contextmanager
def end_told() -> Iterator[None]:
    """Raise PrefectAwayError, one sentence, where the end of a run could not be told."""
    try:
        yield
    except httpx.TransportError as error:
        raise PrefectAwayError(
            f"Prefect's server went away ({error}), so it was not told how this run ended; what "
            "the stages made stands, and another run goes on from there"
        ) from error
