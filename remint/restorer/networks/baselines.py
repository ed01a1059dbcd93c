"""Baselines: DnCNN, a plain U-Net, and the article's convolution + batch-norm auto-encoder."""

import torch
from torch import nn

from remint.networks.blocks import init_dcgan


class DnCnn(nn.Module):
    """x minus the noise predicted by convolution + batch-norm + ReLU layers (arXiv 1608.03981).

    N,C,H,W in [-1, 1] to the same, any H and W.
    """

    multiple = 1

    def __init__(self, channels: int, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
            layers += [nn.ReLU()]
        layers += [nn.Conv2d(width, channels, 3, padding=1)]
        self.noise = nn.Sequential(*layers)
        for module in self.noise:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - self.noise(x)


def _double_conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.LeakyReLU(0.2),
    )


class UNet(nn.Module):
    """Residual U-Net (arXiv 1505.04597), bilinear upsampling, no normalisation.

    N,C,H,W in [-1, 1] to the same; H and W multiples of 2**(levels - 1).
    """

    def __init__(self, channels: int, width: int, levels: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.multiple = 2 ** (levels - 1)
        self.encoders = nn.ModuleList(
            _double_conv(i, o) for i, o in zip([channels, *widths], widths, strict=False)
        )
        self.decoders = nn.ModuleList(
            _double_conv(3 * w, w)
            for w in reversed(widths[:-1])  # skip w + upsampled 2w
        )
        self.down = nn.AvgPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.ending = nn.Conv2d(width, channels, 1)
        nn.init.zeros_(self.ending.weight)
        assert self.ending.bias is not None
        nn.init.zeros_(self.ending.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, skips = x, []
        for level, encoder in enumerate(self.encoders):
            h = encoder(h if level == 0 else self.down(h))
            skips.append(h)
        skips.pop()
        for decoder in self.decoders:
            h = decoder(torch.cat([self.up(h), skips.pop()], dim=1))
        return x + self.ending(h)


class ArticleRestorer(nn.Module):
    """The article's generator: strided convolution + batch-norm down, transposed up, tanh.

    N,C,H,W in [-1, 1] to the same; H and W multiples of 4. No skips: everything passes the
    bottleneck, and the transposed convolutions may leave checkerboards; kept as the seed recipe.
    """

    multiple = 4

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()

        def down(i: int, o: int) -> list[nn.Module]:
            return [nn.Conv2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.2)]

        def up(i: int, o: int) -> list[nn.Module]:
            return [nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]

        self.layers = nn.Sequential(
            *down(channels, width),
            *down(width, 2 * width),
            *up(2 * width, width),
            nn.ConvTranspose2d(width, channels, 4, 2, 1),
            nn.Tanh(),
        )
        self.apply(init_dcgan)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)
