"""R3GAN's residual networks (Huang et al., arXiv 2501.05441, section 4 and appendix D).

16 to 256 px, powers of two. Two blocks a resolution, x + W3 lrelu(W2 lrelu(W1 x)): 1x1 to twice
the width, grouped 3x3 (16 channels a group), 1x1 back. No normalisation, no tanh.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from remint.networks.grouped import GroupedConv2d, grouped_conv2d

SLOPE = 0.2
GROUP = 16
BLOCKS = 2
SIZES = (16, 32, 64, 128, 256)


def _scaled(layer: nn.Conv2d | nn.Linear, gain: float) -> nn.Module:
    """Draw weights from N(0, gain / sqrt(fan_in)); biases start at 0."""
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    """One block; `gain` is that of all L blocks of the net: sqrt(2 / 1.04) * L ** -0.25."""

    def __init__(self, width: int, gain: float) -> None:
        super().__init__()
        wide = 2 * width
        self.expand = _scaled(nn.Conv2d(width, wide, 1), gain)
        self.mix = _scaled(
            GroupedConv2d(wide, wide, 3, padding=1, groups=max(1, wide // GROUP)), gain
        )
        self.project = _scaled(nn.Conv2d(wide, width, 1, bias=False), 0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.leaky_relu(self.expand(x), SLOPE)
        return x + self.project(F.leaky_relu(self.mix(h), SLOPE))


class Resample(nn.Module):
    """Double (up) or halve (down) by the filter [1, 2, 1], with a 1x1 where the width changes."""

    kernel: torch.Tensor

    def __init__(self, inputs: int, outputs: int, up: bool) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", torch.outer(line, line)[None, None] / 16, persistent=False)
        same = inputs == outputs
        change = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.change = nn.Identity() if same else _scaled(change, 1.0)
        self.up = up

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.up:
            x = self.change(x)
        weight = self.kernel.expand(x.shape[1], 1, 3, 3)
        if self.up:
            x = F.conv_transpose2d(x, 4 * weight, None, 2, 1, 1, groups=x.shape[1])
            return self.change(x)
        return grouped_conv2d(x, weight, None, 2, 1, x.shape[1])


def stages(size: int, width: int) -> list[int]:
    """Return the width at 4, 8, ... px; ValueError where size is no power of two in 16..256."""
    if size not in SIZES:
        raise ValueError(
            f"size: found images of {size} px, r3 needs 16, 32, 64, 128 or 256; set ingest.size, "
            "or choose conv"
        )
    levels = size.bit_length() - 3
    return [max(GROUP, width // 2 ** max(0, level - 1)) for level in range(levels + 1)]


def _gain(widths: list[int]) -> float:
    return math.sqrt(2 / 1.04) * (BLOCKS * len(widths)) ** -0.25


class R3Generator(nn.Module):
    """Latents [N, Z] and labels to N,C,S,S: a learned 4x4 basis times Linear([z, embedding])."""

    def __init__(self, channels: int, size: int, classes: int, latent: int, width: int) -> None:
        super().__init__()
        widths = stages(size, width)
        gain = _gain(widths)
        self.embedding = nn.Embedding(classes, latent)
        self.basis = nn.Parameter(torch.randn(widths[0], 4, 4))
        self.code = _scaled(nn.Linear(2 * latent, widths[0], bias=False), 1.0)
        layers: list[nn.Module] = []
        for before, now in zip([widths[0], *widths], widths, strict=False):
            if layers:
                layers.append(Resample(before, now, up=True))
            layers += [ResidualBlock(now, gain) for _ in range(BLOCKS)]
        self.layers = nn.Sequential(*layers)
        self.ending = _scaled(nn.Conv2d(widths[-1], channels, 1, bias=False), 1.0)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        code = self.code(torch.cat([z, self.embedding(labels)], dim=1))
        return self.ending(self.layers(code[:, :, None, None] * self.basis))


class R3Discriminator(nn.Module):
    """N,C,S,S and labels to logits [N]: the mirror image, then <4x4 depthwise, embedding>."""

    def __init__(self, channels: int, size: int, classes: int, width: int) -> None:
        super().__init__()
        widths = stages(size, width)[::-1]
        gain = _gain(widths)
        layers: list[nn.Module] = [_scaled(nn.Conv2d(channels, widths[0], 1, bias=False), 1.0)]
        for now, after in zip(widths, [*widths[1:], None], strict=True):
            layers += [ResidualBlock(now, gain) for _ in range(BLOCKS)]
            if after is not None:
                layers.append(Resample(now, after, up=False))
        last = widths[-1]
        layers += [
            _scaled(GroupedConv2d(last, last, 4, groups=last, bias=False), 1.0),
            nn.Flatten(),
        ]
        self.layers = nn.Sequential(*layers)
        self.embedding = nn.Embedding(classes, last)

    def levels(self) -> list[nn.Module]:
        """Return what is trained of each resolution, from the image on."""
        ends = [k + 1 for k, layer in enumerate(self.layers) if isinstance(layer, Resample)]
        return [self.layers[a:b] for a, b in pairwise([0, *ends, len(self.layers)])]

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        features = self.layers(x)
        return (features * self.embedding(labels)).sum(dim=1) / features.shape[1] ** 0.5
