"""A U-Net of plain residual blocks without biases: dense 3x3 convolutions and (leaky) ReLU.

DRUNet's idea (Zhang et al., arXiv 2008.13751) behind a pixel unshuffle. Dense convolutions are
what CPUs and GPUs multiply fastest, so it learns more in a minute than networks of cheap layers.
If asked, what it made is sharpened in the end.
"""

from itertools import repeat

import torch
import torch.nn.functional as F
from torch import nn

from remint.restorer.networks.sharpening import Sharpening

START = 0.1  # of what ends a residual branch: the network starts near the identity


class PlainBlock(nn.Module):
    """x + conv(ReLU(conv(x))), 3x3 without biases; N,C,H,W kept.

    leak: slope of the ReLU below 0 (Maas et al., "Rectifier nonlinearities improve neural network
    acoustic models", 2013). With 0 a unit that answers to nothing has no gradient and stays so.
    """

    def __init__(self, channels: int, leak: float) -> None:
        super().__init__()
        self.leak = leak
        self.first = _conv(channels, channels)
        self.second = _conv(channels, channels, START)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(F.leaky_relu(self.first(x), self.leak, inplace=True))


class PlainUNet(nn.Module):
    """Predict the residual that restores x: N,C,H,W in [-1, 1] to the same.

    H and W must be multiples of `multiple`. Without biases the network is homogeneous: it
    generalises over noise levels (Mohan et al., arXiv 1906.05478). So that scaling means exposure
    and zero padding means black, it sees (x + 1) / 2, in [0, 1]: f(black + a (x - black)) =
    black + a (f(x) - black) for every a > 0.

    width: channels at the first level, doubled at every further one; encoder: blocks a level from
    the first down, and as many on the way up; middle: blocks at the lowest level; stem: the image
    is folded by this factor first (pixel unshuffle, FFDNet, arXiv 1710.04026, section 3.1);
    leak: of the blocks; sharpening: orders of detail in which what it made is sharpened (0: none),
    by the one part that has biases.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        encoder: tuple[int, ...],
        middle: int,
        stem: int,
        leak: float,
        sharpening: int,
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(len(encoder))]
        self.multiple = stem * 2 ** len(encoder)
        self.stem = stem
        self.intro = _conv(channels * stem**2, width)
        self.encoders = nn.ModuleList(map(_blocks, widths, encoder, repeat(leak)))
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, 2, bias=False) for w in widths)
        self.middle = _blocks(width * 2 ** len(encoder), middle, leak)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(2 * w, w, 2, 2, bias=False) for w in reversed(widths)
        )
        up = reversed(widths), reversed(encoder), repeat(leak)
        self.decoders = nn.ModuleList(map(_blocks, *up))
        self.ending = _conv(width, channels * stem**2, START)
        deepest = width * 2 ** len(encoder)
        self.sharpening = Sharpening(deepest, sharpening) if sharpening else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        intro = self.intro(F.pixel_unshuffle((x + 1) / 2, self.stem))
        h, skips = intro, []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            h = encoder(h)
            skips.append(h)
            h = down(h)
        h = deepest = self.middle(h)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            h = decoder(up(h) + skips.pop())
        residual = F.pixel_shuffle(self.ending(h + intro), self.stem)
        if self.sharpening is not None:
            made = (x + 1) / 2 + residual.float()
            residual = residual + self.sharpening(made, F.relu(deepest))
        return x + 2 * residual  # a residual in [0, 1] is twice as large in [-1, 1]


def _conv(inputs: int, outputs: int, scale: float = 1.0) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    with torch.no_grad():
        layer.weight.mul_(scale)
    return layer


def _blocks(channels: int, count: int, leak: float) -> nn.Sequential:
    return nn.Sequential(*[PlainBlock(channels, leak) for _ in range(count)])
