"""Where a map over many items is computed: in this process, by processes beside it, or on Dask.

Every engine takes batches of items and gives their results in order, so results depend on none.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from joblib import Parallel, delayed, effective_n_jobs

A = TypeVar("A")
B = TypeVar("B")
ADDRESS = ("tcp://", "tls://")  # of a scheduler that runs already
LOOPBACK = "127.0.0.1"
SECONDS_TO_ANSWER = 30


def check_engine(name: str) -> None:
    """Raise ValueError for what is neither an engine nor a scheduler's address."""
    if name not in ("local", "dask") and not name.startswith(ADDRESS):
        raise ValueError(
            f"engine is {name!r}; needed is local, dask (a cluster on this machine), or a Dask "
            "scheduler's address such as tcp://10.0.0.1:8786"
        )


def mapped(
    function: Callable[[A], B], windows: Iterable[list[list[A]]], processes: int
) -> Iterator[list[B]]:
    """Yield the results of each batch in turn; a window of batches is in flight at once."""
    with Parallel(n_jobs=processes, return_as="generator", batch_size=1) as pool:
        for window in windows:
            yield from pool(delayed(each)(function, batch) for batch in window)


def mapped_on_dask(
    function: Callable[[A], B], windows: Iterable[list[list[A]]], client: Any
) -> Iterator[list[B]]:
    """Do the same on a Dask cluster, where the batch of a worker that dies is computed by another.

    A batch that ended three workers raises distributed's KilledWorker. Two windows are in flight,
    so that no worker waits for the end of one. The cluster's workers need this code, the same
    versions of its packages, and the folders of the sets under the same paths.
    """
    flying: deque[list[Any]] = deque()
    for window in windows:
        flying.append([client.submit(each, function, batch, pure=False) for batch in window])
        if len(flying) > 1:
            yield from _landed(flying.popleft())
    for sent in flying:
        yield from _landed(sent)


def _landed(sent: list[Any]) -> Iterator[Any]:
    waiting = deque(sent)
    sent.clear()  # a result that was taken is kept by nobody
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def dask_client(engine: str, processes: int) -> Iterator[Any]:
    """Yield a client of the scheduler at this address, or of a cluster of loopback processes.

    Raises ValueError where the extra is not installed or nobody answers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ValueError(f"engine {engine} needs Dask: pip install 'remint[dask]'") from error
    with ExitStack() as stack:
        if engine.startswith(ADDRESS):
            yield stack.enter_context(_client(Client, engine))
            return
        cluster = LocalCluster(
            n_workers=processes,
            threads_per_worker=1,
            host=LOOPBACK,
            protocol="tls://",
            security=True,  # keys for this cluster alone: other users of the machine stay out
            dashboard_address=None,
        )
        yield stack.enter_context(Client(stack.enter_context(cluster)))


def _client(client: Any, address: str) -> Any:
    try:
        return client(address, timeout=SECONDS_TO_ANSWER)
    except OSError as error:
        raise ValueError(
            f"engine is {address}, but no Dask scheduler answers there; start one, or set local"
        ) from error


def processes_of(workers: int) -> int:
    """Return how many processes a setting means; 0: one a core."""
    return int(effective_n_jobs(workers or -1))


def each(function: Callable[[A], B], items: list[A]) -> list[B]:
    """Return the function's value for every item: what a worker is sent."""
    return [function(item) for item in items]
