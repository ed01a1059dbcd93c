"""Weights on disk: safetensors, which hold numbers and nothing that could be run."""

from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from remint.atomic import replaced_file


def save_network(path: Path, network: nn.Module) -> None:
    """Write a network's state as one safetensors file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {k: t.detach().cpu().contiguous() for k, t in network.state_dict().items()}
    with replaced_file(path) as partial:
        save_file(tensors, partial)
