"""NAFNet: a restoration U-Net without nonlinear activations (Chen et al., arXiv 2204.04676)."""

import torch
import torch.nn.functional as F
from torch import nn

from remint.networks.blocks import LayerNorm2d


def simple_gate(x: torch.Tensor) -> torch.Tensor:
    """Multiply the two halves of the channels (equation 4)."""
    left, right = x.chunk(2, dim=1)
    return left * right


class ChannelAttention(nn.Module):
    """Simplified channel attention: x times W(mean over space) (equation 6)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mix(x.mean(dim=(2, 3), keepdim=True))


class NafBlock(nn.Module):
    """One block (figure 3c): gated depthwise mixing, then a gated feed-forward; N,C,H,W kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.mixer = nn.Sequential(
            LayerNorm2d(channels),
            nn.Conv2d(channels, wide, 1),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide),
        )
        self.attention = ChannelAttention(channels)
        self.mixed = nn.Conv2d(channels, channels, 1)
        self.feed = nn.Sequential(LayerNorm2d(channels), nn.Conv2d(channels, wide, 1))
        self.fed = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x + self.beta * self.mixed(self.attention(simple_gate(self.mixer(x))))
        return y + self.gamma * self.fed(simple_gate(self.feed(y)))


class NafNet(nn.Module):
    """Predict the residual that mends x: N,C,H,W in [-1, 1] to the same.

    H and W must be multiples of `multiple`.

    encoder: blocks a level, from full resolution down; the decoder has one block a level.
    stem: the image is folded by this factor first (pixel unshuffle, FFDNet, arXiv 1710.04026,
    section 3.1): 2 costs a quarter of the arithmetic.
    """

    def __init__(
        self, channels: int, width: int, encoder: tuple[int, ...], middle: int, stem: int
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(len(encoder) + 1)]
        self.stem = stem
        self.multiple = stem * 2 ** len(encoder)
        folded = channels * stem**2
        self.intro = nn.Conv2d(folded, width, 3, padding=1)
        self.encoders = nn.ModuleList(
            nn.Sequential(*[NafBlock(w) for _ in range(n)])
            for w, n in zip(widths, encoder, strict=False)
        )
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, 2) for w in widths[:-1])
        self.middle = nn.Sequential(*[NafBlock(widths[-1]) for _ in range(middle)])
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * w, 4 * w, 1, bias=False), nn.PixelShuffle(2))
            for w in reversed(widths[:-1])
        )
        self.decoders = nn.ModuleList(NafBlock(w) for w in reversed(widths[:-1]))
        self.ending = nn.Conv2d(width, folded, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.intro(F.pixel_unshuffle(x, self.stem) if self.stem > 1 else x)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            h = encoder(h)
            skips.append(h)
            h = down(h)
        h = self.middle(h)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            h = decoder(up(h) + skips.pop())
        residual = self.ending(h)
        return x + (F.pixel_shuffle(residual, self.stem) if self.stem > 1 else residual)
