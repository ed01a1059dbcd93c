"""One large picture through `remint restore` against a bare loop over the same tiles.

python -m bench.large_picture [--model DIR] [--width 64] [--megapixels 24] [--rounds 1] [--deep]

Each side runs in a process of its own, so that the peak of its memory is its own: the command with
decoding, tiles, blending and encoding (PNG), and a loop that holds the picture as pixels and hands
tile after tile to the same network, keeping nothing. Printed: seconds by the clock and of all cores
together, peak MiB, and the ratio of the former. Without --model the default run's network with
random weights stands in, of that width.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from remint.core.arrays import to_tensor
from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.restorer import Restorer, save_card, save_weights
from remint.restorer.tiling import places, tile_shape
from tasks.commands import deep_files
from tasks.commands.restore_files import RestoreOptions, restore
from tasks.stage import params

TILE, OVERLAP = 768, 64
Side = Callable[[Path, Path], float]


def main() -> None:
    """Measure both sides in turn and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--width", type=int, default=64, help="of the network without --model")
    parser.add_argument("--megapixels", type=float, default=24.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--deep", action="store_true", help="16 bits a channel")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = given.model or stand_in(folder / "model", given.params, given.width)
        in_own_process(write_picture, folder / "large.png", given.megapixels, model, given.deep)
        pairs = [
            [in_own_process(measured, side, folder, model) for side in (whole, bare)]
            for _ in range(given.rounds)
        ]
    ratios = [one[0] / other[0] for one, other in pairs]
    for name, side in zip(("remint restore", "bare tiles"), zip(*pairs, strict=True), strict=True):
        seconds, cores, peaks = zip(*side, strict=True)
        told = f"{statistics.median(seconds):7.1f} s  CPU {statistics.median(cores):7.1f} s"
        print(f"{name:16} {told}  peak {max(peaks):6.0f} MiB")
    print(f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


def stand_in(folder: Path, path: Path, width: int) -> Path:
    """Write an untrained colour model of the default's network and return its folder."""
    from remint.restorer.train import TrainRestorerConfig

    network: NetworkConfig = params.load("train_restorer", TrainRestorerConfig, path).network
    network = replace(network, width=width)
    save_weights(folder, "fidelity", build_network(network, 3))
    card = {"network": asdict(network), "channels": 3, "default_interpolation": 0.0}
    save_card(folder, card)
    return folder


def write_picture(path: Path, megapixels: float, model: Path, deep: bool) -> None:
    """Write smooth waves under noise, 3:2, in the model's channels."""
    channels = Restorer.load(model, device="cpu").channels
    height = round((megapixels * 1e6 * 2 / 3) ** 0.5)
    rows, columns = np.ogrid[:height, : height * 3 // 2]
    waves = (np.sin(rows / 40.0) + np.cos(columns / 70.0)).astype(np.float32)[:, :, None]
    noise = np.random.default_rng(0).standard_normal((*waves.shape[:2], channels), np.float32)
    levels = np.clip(128 + 50 * waves + 15 * noise, 0, 255) * (257 if deep else 1)
    planes = levels.astype(np.uint16 if deep else np.uint8)
    with path.open("wb") as file:
        if deep:
            deep_files.write_png(planes, file, {})
        else:
            from remint.images.imagefile import encode_png

            file.write(encode_png(planes))


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call in a fresh process. Its peak of memory counts from ours on, which must stay small."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def measured(side: Side, folder: Path, model: Path) -> tuple[float, float, float]:
    """Return a side's seconds, its seconds on all cores together, and this process's peak, MiB."""
    before = time.process_time()
    seconds = side(folder, model)
    cores = time.process_time() - before
    return seconds, cores, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def whole(folder: Path, model: Path) -> float:
    """Return the seconds of `remint restore`, the loading of the model included."""
    options = RestoreOptions(
        model, device="cpu", tile=TILE, overlap=OVERLAP, max_pixels=10**9, force=True
    )
    start = time.perf_counter()
    failed = restore(folder / "large.png", folder / "out.png", options)
    assert not failed, "the picture of this bench is fit to be restored"
    return time.perf_counter() - start


def bare(folder: Path, model: Path) -> float:
    """Return the seconds of the network alone over the same tiles of the decoded picture."""
    from tasks.commands import photo

    restorer = Restorer.load(model, device="cpu", precision="auto")
    (page,) = photo.pages(folder / "large.png", 10**9)
    pixels = page.layers.pixels
    shape = (pixels.shape[0], pixels.shape[1], TILE, OVERLAP)
    rows, columns = tile_shape(*shape)
    start = time.perf_counter()
    with torch.inference_mode():
        for top, left in places(*shape):
            restorer(to_tensor(pixels[None, top : top + rows, left : left + columns]))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
