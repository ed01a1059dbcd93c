"""Do two processes train as one? Started by torchrun: gloo on a CPU, nccl on two GPUs.

The two run `python -m bench.gpu.ranks FOLDER --device DEVICE [--tiny]` on sets that lie there.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from bench.gpu.equality import furthest
from bench.gpu.frame import Bench, Row, Skipped, attempted
from bench.gpu.games import MUON, Config, begin, minting, restorer, size_of
from bench.gpu.sets import Sets, draw_sets
from bench.gpu.speed import PARTS, timed
from remint.core.device import pick_device
from remint.images.imageset import ImageSet
from remint.training.checkpoint import CheckpointStore
from remint.training.distributed import process_group, rank
from remint.training.schedule import Budget

SECONDS = 300  # of the two processes at most
LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
ONE, TWO = "one", "two"
ROUNDS = 4  # whose weights are compared


def ranks(bench: Bench) -> Iterator[Row]:
    """Two processes against one, the same batch in all: images/s, and how far weights differ.

    weights: largest |one - two| / |one| of a network's as one vector, after 4 rounds. Sums are
    taken in another order and an optimiser magnifies that: 1e-4 is well.
    """
    if bench.name == "cuda" and torch.cuda.device_count() < 2:
        raise Skipped("this machine has one GPU, and NCCL refuses two processes on one")
    sets = draw_sets(bench.folder, size_of(bench), 64 if bench.tiny else 1024)
    options = ["--device", bench.name, *(["--tiny"] if bench.tiny else [])]
    command = [*LAUNCH, "-m", "bench.gpu.ranks", str(bench.folder), *options]
    yield from _failures(command)
    for name, config in _configs(bench).items():
        yield attempted(name, partial(_compared, name, config, sets, bench))


def _failures(command: list[str]) -> Iterator[Row]:
    """Run both processes to their end; say so where it is a bad one, or none in time."""
    with subprocess.Popen(command) as launcher:
        try:
            status = launcher.wait(SECONDS)
        except subprocess.TimeoutExpired:
            launcher.terminate()  # upon which torchrun ends what it started
            yield {"case": "two processes", "failed": f"not over after {SECONDS} s"}
            return
    if status:
        yield {"case": "two processes", "failed": f"ended with status {status}"}


def _configs(bench: Bench) -> dict[str, Config]:
    configs: dict[str, Config] = {
        "restorer nafnet, relativistic": restorer(bench),
        "generator flow, Muon": minting(bench, "flow", optimiser=MUON),
    }
    return configs if bench.tiny else {**configs, "generator r3": minting(bench, "r3")}


def _compared(name: str, config: Config, sets: Sets, bench: Bench) -> Row:
    rate = measured(config, sets, bench, bench.folder / ONE / name)
    two = json.loads((bench.folder / TWO / name / "rate.json").read_text())
    ours, theirs = (_weights(bench.folder / how / name) for how in (ONE, TWO))
    figures = {"images/s": rate, "two images/s": two, "ratio": two / rate}
    return {**figures, "weights": furthest(ours, theirs)}


def measured(config: Config, sets: Sets, bench: Bench, store: Path) -> float:
    """Train ROUNDS into the store, then time a longer run; return its images/s."""
    game = begin(config, sets)
    list(game.train(store, Budget(ROUNDS * game.batch, None)))
    return timed(config, sets, PARTS * (1 if bench.tiny else 20)).rate


def _weights(store: Path) -> dict[str, torch.Tensor]:
    """Return the weights of each network as one float64 vector."""
    kept = CheckpointStore(store, {}, 2).latest()
    assert kept is not None
    sides: dict[str, list[torch.Tensor]] = {"generator": [], "discriminator": []}
    for name, tensor in kept.tensors.items():
        side = name.partition(".")[0]
        if side in sides and tensor.is_floating_point():
            sides[side].append(tensor.double().flatten())
    return {side: torch.cat(parts) for side, parts in sides.items() if parts}


def main() -> None:
    """Be one of the two processes; the first one writes what they reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", required=True)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    with process_group():
        bench = Bench(pick_device(given.device), given.tiny, given.folder)
        sets = Sets(ImageSet(given.folder / "clean"), ImageSet(given.folder / "corrupted"))
        for name, config in _configs(bench).items():
            store = given.folder / TWO / name
            rate = measured(config, sets, bench, store)
            if rank() == 0:
                (store / "rate.json").write_text(json.dumps(rate))


if __name__ == "__main__":
    main()
