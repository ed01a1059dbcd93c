"""The frame of every stage: errors as one line, outputs whole or absent."""

import argparse
import json
import math
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from remint.core.atomic import replaced_file
from remint.core.gpu_errors import gpu_is_full, gpu_is_to_blame
from remint.core.stores import Place, StoreError, StorePath, located
from tasks.stage.console import discreet
from tasks.stage.standing import watched

DIGITS = 6
NO_MEMORY = (
    "the GPU's memory is full{}: end what else computes there, lower the batch "
    "(train_*.data.batch, evaluate_restorer.batch or its tile), or raise train_*.loop.accumulate, "
    "which takes a batch in parts"
)
GPU_FAILED = (
    "the GPU failed: {}. Its driver's log (`dmesg`, `nvidia-smi -q`) may say more; the same "
    "command goes on from what is kept"
)
SETS = ("clean", "corrupted", "restored")  # what may lie in a store


def parser(name: str, description: str | None, **paths: str) -> argparse.ArgumentParser:
    """Return the parser of `python -m tasks.NAME PATH ... [--params FILE]`; paths: their help."""
    made = argparse.ArgumentParser(
        prog=f"python -m tasks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for path, text in paths.items():
        made.add_argument(path, type=partial(place, path), help=text)
    made.add_argument("--params", type=Path, default=Path("params.yaml"), help="holds its section")
    return made


def place(name: str, address: str) -> Place:
    """Return the place that is given for an argument of this name.

    Raises argparse.ArgumentTypeError for an address in a store that is wrong, or no image set's.
    """
    try:
        given = located(address)
    except StoreError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if isinstance(given, StorePath) and name not in SETS:
        raise argparse.ArgumentTypeError(
            f"{address} lies in a store, where only image sets ({', '.join(SETS)}) may be; name a "
            "folder of this machine."
        )
    return given


def entry(main: Callable[[], None]) -> None:
    """Run a stage's `main`; a ValueError or OSError ends it with one line on stderr and exit 1.

    So does a GPU that fails, or whose memory is full. Exit EX_TEMPFAIL (75) where a store or a site
    was not to be reached, which may pass: a flow tries such a stage once more. Says at the end what
    of the stage's code and parameters has changed meanwhile.
    """
    try:
        with watched(os.environ.get("DVC_STAGE", ""), Path.cwd()):
            main()
    except RuntimeError as error:
        if not gpu_is_to_blame(error):
            raise
        print(f"error: {_of_the_gpu(error)}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None
    except (ValueError, OSError) as error:
        print(f"error: {discreet(' '.join(str(error).split()))}", file=sys.stderr, flush=True)
        raise SystemExit(os.EX_TEMPFAIL if unreachable(error) else 1) from None
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr, flush=True)
        raise SystemExit(130) from None


def _of_the_gpu(error: RuntimeError) -> str:
    """Return what to do about a GPU that is full, and what torch wanted of it; or how it failed."""
    if not gpu_is_full(error):
        return GPU_FAILED.format(discreet(str(error).partition("\n")[0].rstrip(".")))
    wanted = re.search(r"Tried to allocate ([\d.]+ \w+)", str(error))
    return NO_MEMORY.format(f" (asked for {wanted[1]} more)" if wanted else "")


def unreachable(error: BaseException | None) -> bool:
    """Return whether an error goes back to a connection that was not made, or broke."""
    while error is not None:
        if isinstance(error, ConnectionError | TimeoutError | socket.gaierror):
            return not isinstance(error, BrokenPipeError)  # a pager that was closed
        error = error.__cause__ or error.__context__
    return False


def write_json(path: str | Path, data: Any) -> None:
    """Write `data` as JSON: keys sorted, floats rounded to 6 digits, atomic.

    Raises ValueError naming the first value that is not finite, since JSON has no word for it.
    """
    write_text(path, json.dumps(_rounded(data, Path(path).name), indent=2, sort_keys=True) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 `text` to a temporary name beside `path`, then rename it when whole."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(target) as fresh:
        fresh.write_text(text, encoding="utf-8")


def _rounded(data: Any, where: str) -> Any:
    if isinstance(data, Mapping):
        return {str(key): _rounded(value, f"{where}: {key}") for key, value in data.items()}
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return [_rounded(value, f"{where}[{i}]") for i, value in enumerate(data)]
    if hasattr(data, "tolist"):  # numpy arrays and scalars
        return _rounded(data.tolist(), where)
    if isinstance(data, float) and not math.isfinite(data):
        raise ValueError(f"{where} is {data}, which JSON cannot hold; leave the figure out")
    return round(data, DIGITS) if isinstance(data, float) else data
