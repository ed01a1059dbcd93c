"""A flow that runs here and now: with a server to tell, and an end in one sentence and a status."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import settings

from flows import away, servers, stages

# For the temporary server on a small machine; what the user or the profile sets wins.
DEFAULTS: dict[Any, Any] = {
    settings.PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 600,
    settings.PREFECT_SERVER_ANALYTICS_ENABLED: False,
}


@contextmanager
def and_now(*expected: type[Exception]) -> Iterator[None]:
    """Run the flow of the block with the active profile's server or a temporary one.

    Exits with 1 and one sentence for what is expected, with 130 when it is interrupted, with 75 if
    Prefect could not be told how it ended.
    """
    told: tuple[type[Exception], ...] = (servers.NotServingError, *expected)
    os.environ.update({name: os.environ.get(name, value) for name, value in stages.QUIET.items()})
    stages.end_in_order(143)
    try:
        with (
            settings.temporary_settings(set_defaults=DEFAULTS),
            servers.temporary(Path.cwd()),
            away.end_told(),
        ):
            yield
    except KeyboardInterrupt:
        print("ended", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except told as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except away.PrefectAwayError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(os.EX_TEMPFAIL) from None
