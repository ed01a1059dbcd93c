"""Several processes as one trainer: gradients averaged, decisions shared by torch.distributed.

`torchrun --nproc_per_node N -m tasks.train_restorer ...` sets the environment read here; without
it every function is the identity.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")

# Rank 0 may wait for the GPU's lock or for MLflow while the others wait for it already; torchrun
# itself ends all of them as soon as one has ended.
PATIENCE = timedelta(days=1)


def rank() -> int:
    """Return this process's number, 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes, 1 when alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def process_group() -> Iterator[None]:
    """Join the group that torchrun describes; leave it where the block ends well.

    Tensors on a GPU go by nccl and those on the CPU by gloo, whatever the machine has.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    dist.init_process_group(backends(torch.cuda.is_available()), timeout=PATIENCE)
    yield
    # Not after an error: nccl would wait here for processes that wait for this one's gradients,
    # and torchrun, which ends them once this one has ended, would wait too
    dist.destroy_process_group()


def backends(gpu: bool) -> str:
    """Return what carries messages: training on the CPU of a GPU machine needs gloo too."""
    return "cpu:gloo,cuda:nccl" if gpu else "gloo"


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


def decided_by_first(decide: Callable[[], T]) -> T:
    """Return what `decide` gives in the first process, which alone runs it; T is picklable."""
    if world_size() == 1:
        return decide()
    box = [decide() if rank() == 0 else None]
    dist.broadcast_object_list(box, src=0)
    decision: T = box[0]  # type: ignore[assignment]
    return decision


def all_equal(value: float, device: torch.device) -> bool:
    """Say whether all processes have the same value; the same answer everywhere."""
    return agree_max(value, device) == -agree_max(-value, device)


def average_values(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """Return each named value's mean over the processes."""
    if world_size() == 1:
        return values
    box = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
    dist.all_reduce(box)
    return dict(zip(values, (box / world_size()).tolist(), strict=True))
