"""What all subcommands share: where they run, their rows, and the file that keeps them."""

import json
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from remint.core.atomic import replaced_file

Row = dict[str, Any]  # one line of a table: names of columns, figures or words


class Skipped(Exception):
    """This machine can't measure that; the sentence says why."""


@dataclass(frozen=True)
class Bench:
    """Where and how large. tiny: seconds on a CPU, to see that it runs; folder: for what is made.

    pictures, test, fashion: folders given by the user (None: drawn pictures take their place);
    minutes: of the long trainings; batch: images a round of theirs (None: each its own).
    """

    device: torch.device
    tiny: bool
    folder: Path
    pictures: Path | None = None
    test: Path | None = None
    fashion: Path | None = None
    minutes: float = 8.0
    batch: int | None = None

    @property
    def name(self) -> Literal["cpu", "cuda"]:
        """The device as a configuration calls it."""
        return "cuda" if self.device.type == "cuda" else "cpu"

    @property
    def workers(self) -> int:
        """Processes that feed a restorer: beside a GPU, the training's own is too slow.

        Labelled images need none: one process feeds them faster than generators learn.
        """
        return 0 if self.tiny or self.name == "cpu" else 8


@dataclass
class Result:
    """The rows of one subcommand, and what they were measured on."""

    subcommand: str
    device: str
    tiny: bool
    torch: str = torch.__version__
    seconds: float = 0.0
    skipped: str = ""
    rows: list[Row] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether a case could not be measured."""
        return any("failed" in row for row in self.rows)

    def write(self, path: Path) -> None:
        """Write all of it as JSON, whole or not at all; the folder is made where it is absent."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as file:
            file.write_text(json.dumps(vars(self), indent=1) + "\n")


def collected(
    subcommand: str, rows: Callable[[Bench], Iterable[Row]], bench: Bench, out: Path | None
) -> Result:
    """Run a subcommand, print every row as it comes and keep the rows so far in the file."""
    result = Result(subcommand, device_name(bench.device), bench.tiny)
    if out:
        result.write(out)  # a path that can't be written is told before minutes are spent
    start = time.perf_counter()
    for row in _until_skipped(rows(bench), result):
        result.rows.append(row)
        result.seconds = round(time.perf_counter() - start, 1)
        print(subcommand, json.dumps(row), flush=True)
        if out:
            result.write(out)
    if result.skipped:
        print(subcommand, "skipped:", result.skipped)
    if out:
        result.write(out)
    return result


def _until_skipped(rows: Iterable[Row], result: Result) -> Iterator[Row]:
    try:
        yield from rows
    except Skipped as reason:
        result.skipped = str(reason)


def attempted(name: str, measure: Callable[[], Row]) -> Row:
    """Return the case's row; one that fails says why, and the next ones are measured still."""
    try:
        return {"case": name, **measure()}
    except Exception as error:  # whatever it is, the day goes on
        words = str(error).strip().splitlines() or [type(error).__name__]
        return {"case": name, "failed": words[0][:300]}


def device_name(device: torch.device) -> str:
    """Return the card's or the processor's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"


def now(device: torch.device) -> float:
    """Return the clock in seconds, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
