"""Weights on disk: safetensors, which hold numbers and nothing that could be run."""

import hashlib
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


def weights_fingerprint(folder: Path) -> str:
    """Return BLAKE2b-128 hex of every safetensors file of a model's folder, by name.

    Raises ValueError where there is none.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder}: found no weights (*.safetensors), needed a trained model")
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
