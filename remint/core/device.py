"""Where and in which precision to train."""

import os
from contextlib import AbstractContextManager
from typing import Literal

import torch

DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]


def pick_device(name: str, threads: int | None = None) -> torch.device:
    """Return the device; `auto` is this process's GPU when there is one, else the CPU.

    threads: of this process on the CPU from now on (None: left as they are). Raises ValueError
    when a GPU is asked for and none is found.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device: found {name!r}, needed auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: cuda was asked for and no GPU was found; use auto or cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """Return the context for network passes: bf16 on a GPU by `auto`, fp32 on a CPU by `auto`."""
    enabled = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)
