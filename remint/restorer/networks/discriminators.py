"""Discriminators: N,C,H,W to a list of feature maps whose last member is the logits N,1,h,w.

`smallest` is the smallest side, in px, that a discriminator can judge.
"""

import torch
import torch.nn.functional as F
from torch import nn

from remint.networks.blocks import init_dcgan, sn_conv


class ArticlePatchDiscriminator(nn.Module):
    """Strided convolution, batch-norm, LeakyReLU (DCGAN, arXiv 1511.06434): one logit an image."""

    smallest = 4

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)),
                nn.Sequential(
                    nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
                    nn.BatchNorm2d(2 * width),
                    nn.LeakyReLU(0.2),
                ),
            ]
        )
        self.head = nn.Conv2d(2 * width, 1, 1)
        self.apply(init_dcgan)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return [*features, self.head(x.mean(dim=(2, 3), keepdim=True))]


class PatchGan(nn.Module):
    """The 70x70 PatchGAN (pix2pix, arXiv 1611.07004, appendix 6.1.2), without batch-norm.

    Normalisation is left out so that gradient penalties, which look at single images, stay valid.
    """

    smallest = 24

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        plan = [(channels, width, 2), (width, 2 * width, 2), (2 * width, 4 * width, 2)]
        plan += [(4 * width, 8 * width, 1)]
        self.stages = nn.ModuleList(nn.Conv2d(i, o, 4, s, 1) for i, o, s in plan)
        self.head = nn.Conv2d(8 * width, 1, 4, 1, 1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        features = []
        for stage in self.stages:
            x = F.leaky_relu(stage(x), 0.2)
            features.append(x)
        return [*features, self.head(x)]


class UNetDiscriminator(nn.Module):
    """Spectral-norm U-Net with a logit a pixel (Real-ESRGAN, arXiv 2107.10833, section 3.3)."""

    smallest = 8

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        w = width
        self.intro = nn.Conv2d(channels, w, 3, padding=1)
        self.downs = nn.ModuleList(sn_conv(w * 2**i, w * 2 ** (i + 1), 4, 2) for i in range(3))
        self.ups = nn.ModuleList(sn_conv(w * 2 ** (i + 1), w * 2**i, 3) for i in reversed(range(3)))
        self.tail = nn.ModuleList([sn_conv(w, w, 3), sn_conv(w, w, 3)])
        self.head = nn.Conv2d(w, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        h = F.leaky_relu(self.intro(x), 0.2)
        skips = [h]
        for down in self.downs:
            h = F.leaky_relu(down(h), 0.2)
            skips.append(h)
        features = [skips.pop()]
        for up in self.ups:
            skip = skips.pop()
            h = F.interpolate(h, size=skip.shape[-2:], mode="bilinear")
            h = F.leaky_relu(up(h), 0.2) + skip
            features.append(h)
        for layer in self.tail:
            h = F.leaky_relu(layer(h), 0.2)
        return [*features, h, self.head(h)]
