"""How much memory a training round takes, by the size of the images."""

import gc
import resource
from collections.abc import Iterator
from functools import partial
from itertools import islice

import psutil
import torch

from bench.gpu.frame import Bench, Row, attempted
from bench.gpu.games import Config, begin, fed, minting, restorer
from bench.gpu.sets import Sets, draw_sets
from remint.training.loop import play_round

MIB = 2**20
SIZES, TINY_SIZES = (64, 128, 256), (32, 64, 128)  # px
BATCH, TINY_BATCH = 16, 4  # images a round


def memory(bench: Bench) -> Iterator[Row]:
    """Peak memory of two rounds, the first with penalties, at three sizes of square images: MiB.

    an image: what the peak is above what lay there before the rounds, by the batch. On a CPU both
    are of the process, whose peak is never forgotten: rows of a larger size alone say something.
    """
    for size in TINY_SIZES if bench.tiny else SIZES:
        sets = draw_sets(bench.folder / str(size), size, 2 * BATCH, channels=3)
        for name, config in _configs(bench).items():
            yield attempted(f"{name}, {size} px", partial(peak, config, sets, bench.device))


def _configs(bench: Bench) -> dict[str, Config]:
    batch = TINY_BATCH if bench.tiny else BATCH
    kinds: dict[str, Config] = {
        "restorer nafnet, relativistic": restorer(bench),
        "generator r3": minting(bench, "r3"),
        "generator flow": minting(bench, "flow"),
    }
    return {name: fed(config, batch=batch) for name, config in kinds.items()}


def peak(config: Config, sets: Sets, device: torch.device) -> Row:
    """Return the peak of two rounds in MiB, its part above the idle networks by the image."""
    game = begin(config, sets)
    batches = list(islice(game.objective.batches(0), 2))
    idle = _start(device)
    for batch in batches:
        play_round(game.objective, game.players, batch, game.loop, 0.5)
    highest = _highest(device)
    each = max(0, highest - idle) / game.batch
    return {"MiB": highest / MIB, "MiB an image": each / MIB, "batch": game.batch}


def _start(device: torch.device) -> int:
    """Forget the peak so far where that can be done; return the bytes that are in use."""
    if device.type != "cuda":
        return int(psutil.Process().memory_info().rss)
    gc.collect()  # an earlier game may lie in a cycle
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _highest(device: torch.device) -> int:
    """Return the most bytes in use since the start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # given in KiB
