"""What a flow tells Prefect, of itself and of one that was killed; never at the work's cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from logging import Logger, LoggerAdapter
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed, State


class PrefectAwayError(RuntimeError):
    """The server went away before it was told how the run ended."""


@contextmanager
def server_may_be_away(log: Logger | LoggerAdapter[Logger]) -> Iterator[None]:
    """Go on with a warning where Prefect's server can't be reached."""
    try:
        yield
    except httpx.TransportError as error:
        log.warning("Prefect's server did not take what it was told: %s", error)


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


def close_killed(run_id: str, log: Logger | LoggerAdapter[Logger]) -> None:
    """Tell Prefect that a run crashed whose process was killed, where it is thought to go on."""
    try:
        with get_client(sync_client=True) as client:
            _close(client, UUID(run_id), log)
    except ObjectNotFound:
        return  # it was told to another server
    except (httpx.HTTPError, ValueError) as error:
        log.warning("flow run %s, which was killed, could not be closed: %s", run_id, error)


def _close(client: SyncPrefectClient, run_id: UUID, log: Logger | LoggerAdapter[Logger]) -> None:
    killed = client.read_flow_run(run_id)
    if killed.state is not None and (killed.state.is_running() or killed.state.is_cancelling()):
        crashed: State[None] = Crashed(
            message="Its process was killed; the next run in its checkout says so."
        )
        client.set_flow_run_state(killed.id, crashed, force=True)
        log.info("flow run %s, which was killed, is closed as crashed", killed.name)
