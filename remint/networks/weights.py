"""Weights on disk: safetensors, which hold numbers and nothing that could be run."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from remint.core.atomic import replaced_file

FACTS = "remint"  # all that goes with a network, as one text: safetensors shuffles several


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
    """Write a network's state as one safetensors file, whole or not at all; note: text with it.

    A checksum goes with it, which `read_network` looks at.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    state = network.state_dict()
    facts = {"checksum": _checksum(state), **({"note": note} if note else {})}
    with replaced_file(path) as partial:
        write_tensors(partial, state, {FACTS: json.dumps(facts, sort_keys=True)})


def read_network(path: Path) -> dict[str, torch.Tensor]:
    """Read a network's state.

    Raises ValueError with the reason where it is not what was written, or not finite.
    """
    try:
        with safe_open(path, framework="pt") as file:
            written = _facts(file).get("checksum")
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, TypeError) as error:
        raise ValueError(str(error)) from error
    if written not in (None, _checksum(state)):
        raise ValueError("it is not what was written: its checksum is another")
    if broken := [name for name, values in state.items() if not _finite(values)]:
        raise ValueError(f"it holds values that are not finite: {broken[0]}")
    return state


def _finite(values: torch.Tensor) -> bool:
    small = values.is_floating_point() and values.element_size() == 1  # float8 knows no isfinite
    return bool((values.float() if small else values).isfinite().all())


def _checksum(state: Mapping[str, torch.Tensor]) -> str:
    """Return BLAKE2b-128 hex of names and numbers."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        numbers = state[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(name.encode() + b"\0")
        digest.update(numbers.numpy().data)
    return digest.hexdigest()


def _facts(file: Any) -> dict[str, str]:
    texts = file.metadata() or {}
    return dict(json.loads(texts[FACTS])) if FACTS in texts else texts


def network_note(path: Path) -> str:
    """Return the text that was saved with a network; none where there is no file or no text."""
    if not path.exists():
        return ""
    with safe_open(path, framework="pt") as file:
        return _facts(file).get("note", "")


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable scalars."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
