"""A flow under its solvers: `python -m bench.solvers MODEL CLEAN`.

MODEL is a folder with a trained flow (data/models/generator), CLEAN the set that it was trained on.
Printed are, for each solver, calls of the network an image, seconds a thousand images on one
thread, the distance of the first thousand to held-out images, and the gap of the snapshots' probe
(points of a classifier taught by minted images alone below one taught by as many real ones).
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from remint.generator.data import LabelledSource
from remint.generator.generator import Minter
from remint.generator.networks.catalogue import GeneratorConfig, build_generator
from remint.generator.networks.flow import Solver
from remint.generator.probe import Probe
from remint.generator.train import TrainGeneratorConfig
from remint.images.imageset import ImageSet
from remint.metrics.features import EffLiteExtractor
from remint.metrics.kernel import kernel_distance
from tasks.figures.generator import network_calls
from tasks.stage import params

ROOT = Path(__file__).resolve().parents[1]
TRIED: tuple[tuple[Solver, int], ...] = (
    ("heun", 6),
    ("adams", 11),
    ("heun", 16),
    ("adams", 16),
)
IMAGES = 1000


def main() -> None:
    """Measure; see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("clean", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    flow, clean = Minter.load(given.model, device="cpu"), ImageSet(given.clean)
    config = params.load("train_generator", TrainGeneratorConfig, ROOT / "params.yaml")
    assert config.snapshots.probe
    probe = Probe(LabelledSource(clean, config.data, config.seed), clean, config.snapshots.probe)
    extract = EffLiteExtractor(flow.device)
    held_out = extract(probe.held[: 2 * IMAGES])
    for solver, steps in TRIED:
        asked = replace(GeneratorConfig(**flow.card["network"]), solver=solver, steps=steps)
        minter = sampled_by(flow, asked)
        began = time.process_time()
        images = minter.mint(probe.labels[:IMAGES], np.arange(IMAGES))
        took = time.process_time() - began
        distance = kernel_distance(held_out, extract(images))
        gap = probe.score(minter)["probe_gap_points"]
        print(
            f"{solver}, {network_calls(vars(asked))} calls: {took:.0f} s a thousand, KID-EffLite0 "
            f"{distance.mean:.4f} ± {distance.standard_error:.4f}, gap {gap:.1f} points",
            flush=True,
        )


def sampled_by(flow: Minter, network: GeneratorConfig) -> Minter:
    """Return the flow's weights under another solver."""
    other = build_generator(network, flow.channels, flow.size, flow.classes)
    other.load_state_dict(flow.network.state_dict())
    return Minter(other, None, {**flow.card, "network": vars(network)}, flow.device)


if __name__ == "__main__":
    main()
