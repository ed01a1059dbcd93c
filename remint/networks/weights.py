"""Weights on disk: safetensors, which hold numbers and nothing that could be run."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from remint.core.atomic import replaced_file


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], facts: dict[str, str] | None = None
) -> None:
    """Write tensors as a safetensors file with the usual permissions; facts: texts with them.

    Raises OSError where the disk takes no more.
    """
    try:
        save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, path, facts)
    except SafetensorError as error:
        raise OSError(f"{path} can't be written ({error})") from error
    path.chmod(_readable())


def _readable() -> int:
    """Return what others may do with a new file: safetensors leaves them nothing."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def save_network(path: Path, network: nn.Module, note: str = "") -> None:
    """Write a network's state as one safetensors file, whole or not at all; note: text with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as partial:
        write_tensors(partial, network.state_dict(), {"note": note} if note else None)


def network_note(path: Path) -> str:
    """Return the text that was saved with a network; none where there is no file or no text."""
    if not path.exists():
        return ""
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get("note", "")


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable scalars."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
