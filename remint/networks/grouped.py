"""Grouped convolutions whose gradient can be differentiated cheaply, as gradient penalties need.

torch's own second derivative by the weights walks through the groups one by one. Here the gradient
by the input is a transposed convolution, whose derivative is one operation whatever the groups.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable


class GroupedConv2d(nn.Conv2d):
    """torch's Conv2d of dilation 1, padded with zeros; equal in value and gradients."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.dilation == (1, 1) and self.padding_mode == "zeros"
        assert isinstance(self.padding, tuple)
        sizes = self.stride[0], self.padding[0], self.groups
        return grouped_conv2d(x, self.weight, self.bias, *sizes)


def grouped_conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: int,
    padding: int,
    groups: int,
) -> torch.Tensor:
    """Return F.conv2d of x [N, C, H, W], its gradient by x being cheap to differentiate.

    That path is taken in eager passes outside autocast, as those of penalties are.
    """
    plain = torch.is_autocast_enabled(x.device.type) or torch.compiler.is_compiling()
    if plain or not (torch.is_grad_enabled() and x.requires_grad):
        return F.conv2d(x, weight, bias, stride, padding, groups=groups)
    sizes = stride, padding, groups
    ticket = None
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        ticket = _ByWeight.apply(weight, bias, x.detach(), *sizes)
    return _ByInput.apply(x, weight, bias, ticket, *sizes)


class _ByInput(torch.autograd.Function):
    """The convolution; its gradient by the input, and the output's gradient for the ticket."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, ticket: Any, *sizes: int) -> torch.Tensor:
        ctx.save_for_backward(weight)
        ctx.sizes, ctx.sides, ctx.trained = sizes, x.shape[2:], ticket is not None
        stride, padding, groups = sizes
        return F.conv2d(x, weight, bias, stride, padding, groups=groups)

    @staticmethod
    def backward(ctx: Any, up: torch.Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        stride, padding, groups = ctx.sizes
        lost = [
            side - ((out - 1) * stride - 2 * padding + kernel)
            for side, out, kernel in zip(ctx.sides, up.shape[2:], weight.shape[2:], strict=True)
        ]
        by_input = F.conv_transpose2d(up, weight, None, stride, padding, lost, groups)
        return by_input, None, None, up if ctx.trained else None, None, None, None


class _ByWeight(torch.autograd.Function):
    """A ticket of zeros without memory, by which weight and bias get their gradients.

    A node of its own, so that autograd leaves it out where the images' gradient alone is asked for.
    """

    @staticmethod
    def forward(ctx: Any, weight: Any, bias: Any, x: Any, *sizes: int) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.sizes, ctx.biased = sizes, bias is not None
        stride, padding, _ = sizes
        spans = zip(x.shape[2:], weight.shape[2:], strict=True)
        sides = [(side + 2 * padding - kernel) // stride + 1 for side, kernel in spans]
        return x.new_zeros(()).expand(len(x), len(weight), *sides)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, up: torch.Tensor) -> Any:
        x, weight = ctx.saved_tensors
        stride, padding, groups = ctx.sizes
        _, by_weight, by_bias = torch.ops.aten.convolution_backward(
            up, x, weight, [len(weight)], [stride] * 2, [padding] * 2, [1, 1], False, [0, 0],
            groups, [False, True, ctx.biased],
        )  # fmt: skip
        return by_weight, by_bias if ctx.biased else None, None, None, None, None
