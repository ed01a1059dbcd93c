"""Milliseconds of one step of Muon, ours over matrices of one shape at once against torch's own.

python -m bench.muon [--steps 100] [--silent 0.5]

Both move the same hidden convolutions of the restorer and the generator of params.yaml, by
gradients drawn at random, in turn. --silent: share of each matrix's rows without a gradient, whose
momenta start where some 1,700 rounds without one bring them. Printed: median of either, and ours
over torch's.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from bench.training import now
from remint.core.device import pick_device
from remint.generator.networks.catalogue import build_generator, chosen
from remint.generator.train import TrainGeneratorConfig
from remint.restorer.networks.catalogue import build_network
from remint.restorer.train import TrainRestorerConfig
from remint.training.optimisers import MOMENTUM, Muon, as_matrix, hidden_convolutions
from tasks.stage import params

SIDE, CLASSES = 28, 10


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line for each network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--silent", type=float, default=0.0)
    given = parser.parse_args(argv)
    for name, network in networks(Path("params.yaml")):
        weights = hidden_convolutions(network.to(pick_device("auto", threads=1)))
        ours, theirs = (
            statistics.median(times) for times in compared(weights, given.steps, given.silent)
        )
        print(
            f"{name}, {len(weights)} matrices: {ours:.2f} ms, torch's {theirs:.2f}: "
            f"{ours / theirs:.2f}"
        )


def networks(path: Path) -> Iterator[tuple[str, nn.Module]]:
    """Yield the networks that the parameters describe, for grey images of 28 px."""
    restorer = params.load("train_restorer", TrainRestorerConfig, path).network
    yield f"restorer {restorer.name}, width {restorer.width}", build_network(restorer, 1)
    minter = chosen(params.load("train_generator", TrainGeneratorConfig, path).network, 1, SIDE)
    network = build_generator(minter, 1, SIDE, CLASSES)
    yield f"generator {minter.name}, width {minter.width}", network


def compared(
    weights: list[nn.Parameter], steps: int, silent: float
) -> tuple[list[float], list[float]]:
    """Return milliseconds of each step of ours and of torch's, taken in turn."""
    ours = Muon(weights, 1e-3, 0.0)
    matrices = [nn.Parameter(as_matrix(weight.detach()).clone()) for weight in weights]
    theirs = torch.optim.Muon(
        matrices, 1e-3, weight_decay=0.0, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw"
    )
    times: tuple[list[float], list[float]] = ([], [])
    for step_number in range(steps):
        for weight, matrix in zip(weights, matrices, strict=True):
            weight.grad = torch.randn_like(weight)
            weight.grad[: round(silent * len(weight))] = 0
            matrix.grad = as_matrix(weight.grad)
        if step_number == 1:
            _age((ours, theirs), silent)
        for kept, step in zip(times, (ours.step, theirs.step), strict=True):
            kept.append(1e3 * taken(step, weights[0].device))
    return times


def _age(optimisers: Sequence[torch.optim.Optimizer], silent: float) -> None:
    """Bring the momenta of silent rows where rounds without a gradient bring them."""
    for optimiser in optimisers:
        for state in optimiser.state.values():
            momentum = state["momentum_buffer"]
            momentum[: round(silent * len(momentum))] = 1e-39


def taken(step: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of one step."""
    start = now(device)
    step()
    return now(device) - start


if __name__ == "__main__":
    main()
