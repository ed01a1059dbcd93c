"""Several processes as one trainer: gradients averaged by torch.distributed, nothing else shared.

`torchrun --nproc_per_node N -m tasks.train_restorer ...` sets the environment read here; without
it every function is the identity.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


def rank() -> int:
    """Return this process's number, 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes, 1 when alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def process_group() -> Iterator[None]:
    """Join the group that torchrun describes (nccl on GPUs, else gloo); leave it at the end."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def refuse_batch_norm(network: torch.nn.Module, name: str) -> None:
    """Raise ValueError for a network whose result would depend on the number of processes."""
    if world_size() > 1 and any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules()):
        raise ValueError(
            f"{name} has batch-norm, whose statistics would differ between {world_size()} "
            "processes; train it in one, or choose a network without"
        )


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes, in one message."""
    if world_size() == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in grads])
    dist.all_reduce(flat)
    flat /= world_size()
    for grad, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        grad.copy_(part.view_as(grad))


def agree_max(value: float, device: torch.device) -> float:
    """Return the largest of the processes' values, so that all take the same decision."""
    if world_size() == 1:
        return value
    box = torch.tensor([value], dtype=torch.float64, device=device)
    dist.all_reduce(box, dist.ReduceOp.MAX)
    return float(box.item())


def average_values(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """Return each named value's mean over the processes."""
    if world_size() == 1:
        return values
    box = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
    dist.all_reduce(box)
    return dict(zip(values, (box / world_size()).tolist(), strict=True))
