"""A flow in few calls of its network an image: `python -m bench.jumps MODEL CLEAN --minutes 10`.

MODEL is a folder with a trained flow (data/models/generator), CLEAN the set that it was trained on.
Printed are calls an image and the gap of the snapshots' probe (points of a classifier taught by
minted images alone below one taught by as many real ones), for the flow's own sampler, for plain
jumps of the same weights, and for those weights trained on as an adversarial flow on one thread:
with its discriminator, and with the fidelity term alone.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch

from bench.solvers import sampled_by
from remint.generator.data import LabelledSource
from remint.generator.generator import Minter
from remint.generator.networks.catalogue import GeneratorConfig
from remint.generator.objectives import adversarial_flow
from remint.generator.probe import Probe
from remint.generator.starting import GeneratorStartConfig
from remint.generator.train import AdversarialConfig, TrainGeneratorConfig, train_generator
from remint.images.imageset import ImageSet
from remint.training.optimisers import OptimiserConfig
from remint.training.schedule import Budget
from tasks.commands import presets
from tasks.figures.generator import network_calls
from tasks.stage import params

ROOT = Path(__file__).resolve().parents[1]
OPTIMISER = OptimiserConfig(2e-4, 2e-5, (0.0, 0.9), 0.99, 0.0, None, 0.02)


def main() -> None:
    """Measure; see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("clean", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each training")
    parser.add_argument("--steps", type=int, default=4, help="jumps an image")
    parser.add_argument("--fidelity", type=float, default=0.3, help="weight of its term")
    given = parser.parse_args()
    torch.set_num_threads(1)
    flow, clean = Minter.load(given.model, device="cpu"), ImageSet(given.clean)
    loss = adversarial_flow.JumpLossConfig(0.0, 0.0, given.fidelity)
    jumps = AdversarialConfig(Budget(None, given.minutes), OPTIMISER, given.steps, loss)
    config = settings(flow, jumps)
    for name, gap in sampled(flow, clean, config, given.steps).items():
        print(f"{name}: {gap:.1f} points", flush=True)
    print(f"trained on against a discriminator: {trained(flow, clean, config)}", flush=True)
    with mock.patch.object(adversarial_flow, "normalised", lambda slope, _: 0.0 * slope):
        print(f"trained on by the fidelity term alone: {trained(flow, clean, config)}")


def settings(flow: Minter, jumps: AdversarialConfig) -> TrainGeneratorConfig:
    """Return the preset `fashion` for the game alone, begun from the flow."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text((ROOT / "params.yaml").read_text())
        presets.apply_preset("fashion", path)
        config = params.load("train_generator", TrainGeneratorConfig, path)
    network = replace(GeneratorConfig(**flow.card["network"]), name="adversarial_flow")
    never = replace(config.snapshots, every=10**9)
    start = GeneratorStartConfig("given", True, 0)
    return replace(config, network=network, adversarial=jumps, start=start, snapshots=never)


def sampled(
    flow: Minter, clean: ImageSet, config: TrainGeneratorConfig, steps: int
) -> dict[str, float]:
    """Return the gap of the flow's own sampler and of plain jumps."""
    assert config.snapshots.probe
    source = LabelledSource(clean, config.data, config.seed)
    probe = Probe(source, clean, config.snapshots.probe)
    jumping = replace(config.network, steps=steps)
    jumper = sampled_by(flow, jumping)
    own = network_calls(flow.card["network"])
    return {
        f"the flow's own sampler, {own} calls": probe.score(flow)["probe_gap_points"],
        f"plain jumps, {steps} calls": probe.score(jumper)["probe_gap_points"],
    }


def trained(flow: Minter, clean: ImageSet, config: TrainGeneratorConfig) -> str:
    """Train on, and return the gap with what it took."""
    with tempfile.TemporaryDirectory() as folder:
        *_, last = train_generator(config, clean, Path(folder), start=flow)
    seen = f"{last.progress.images:,} images in {last.progress.minutes:.1f} minutes"
    return f"{last.figures['probe_gap_points']:.1f} points after {seen}"


if __name__ == "__main__":
    main()
