"""Claims about grouped convolutions under a gradient penalty: same gradients, fewer operations."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from remint.generator.networks import r3
from remint.networks.grouped import GroupedConv2d
from remint.training.losses import gradient_penalty


class Counted(TorchDispatchMode):
    """Counts the operations that reach a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return func(*args, **(kwargs or {}))


def penalised(width: int) -> tuple[list[torch.Tensor], int]:
    """Return all gradients of a loss with a penalty, in float64, and how many operations it took.

    One side of the game, 64 px; every block's last weights are drawn, for they start at 0.
    """
    torch.manual_seed(0)
    network = r3.R3Discriminator(3, 64, 2, width).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.1)
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    with Counted() as counted:
        logits = network(images, torch.tensor([0, 1]))
        (gradient_penalty(logits, images) + logits.mean()).backward()
    grads = [parameter.grad for parameter in network.parameters()]
    return [grad for grad in grads if grad is not None], counted.operations


def test_penalties_have_the_same_gradients_with_a_fraction_of_the_operations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, few = penalised(256)
    monkeypatch.setattr(GroupedConv2d, "forward", nn.Conv2d.forward)
    monkeypatch.setattr(
        r3, "grouped_conv2d", lambda x, w, b, s, p, g: functional.conv2d(x, w, b, s, p, groups=g)
    )
    theirs, many = penalised(256)
    assert len(ours) == len(theirs)
    for mine, own in zip(ours, theirs, strict=True):
        assert (mine - own).abs().max() <= 1e-12 * own.abs().max()
    assert few <= 716 and many >= 4000


def test_the_images_gradient_alone_computes_no_weights_gradient() -> None:
    layer = GroupedConv2d(4, 4, 3, padding=1, groups=2)
    images = torch.randn(1, 4, 5, 5, requires_grad=True)
    output = layer(images).sum()
    with Counted() as counted:
        torch.autograd.grad(output, images)
    assert counted.operations <= 3  # ones, expanded, and one transposed convolution
