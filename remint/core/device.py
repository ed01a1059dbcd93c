"""Where and in which precision to train."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch

DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]


def pick_device(name: str, threads: int | None = None) -> torch.device:
    """Return the device; `auto` is this process's GPU when there is one, else the CPU.

    threads: of this process on the CPU from now on (None: left as they are). From now on fp32 is
    IEEE's: torch lets convolutions round to TF32, 10 bits of mantissa, which penalties, minting
    and figures would feel. Raises ValueError when a GPU is asked for and none is found, and when
    this machine has more processes than GPUs.
    """
    # by the older names: after `fp32_precision`, torch.export fails where it reads these
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if threads is not None:
        torch.set_num_threads(threads)
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device: found {name!r}, needed auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: cuda was asked for and no GPU was found; use auto or cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return _own_gpu()


def _own_gpu() -> torch.device:
    """Return the GPU of this process's number on its machine, torch's current one from now on."""
    number, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= count:
        raise ValueError(
            f"process {number} of this machine, counted from 0 (LOCAL_RANK), found {count} "
            f"GPU{'s' if count != 1 else ''} and needed one of its own; start one process a GPU, "
            "show each process all GPUs, or choose device: cpu"
        )
    if number:
        torch.cuda.set_device(number)
    return torch.device("cuda", number)


def computed_on(device: torch.device) -> list[str]:
    """Return chip and threads: where they differ, the same arithmetic may end in other bits."""
    if device.type == "cuda":
        return ["cuda", torch.cuda.get_device_name(device)]
    return ["cpu", torch.backends.cpu.get_cpu_capability(), str(torch.get_num_threads())]


def resolved(device: torch.device, precision: Precision) -> Literal["fp32", "bf16"]:
    """Return the precision of network passes; `auto` asks the device.

    bf16 on a GPU from compute capability 8.0, which multiplies it in tensor cores, and on a CPU
    with instructions for it (AMX or AVX512-BF16; without them bf16 is slower than fp32).
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("amx_bf16") or able.get("avx512_bf16") else "fp32"


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """Return the context for network passes in the precision that `resolved` gives."""
    enabled = resolved(device, precision) == "bf16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread of the CPU: sums in another order would be other results."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
