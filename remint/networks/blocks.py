"""Building blocks shared by the networks."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of N,C,H,W at each position (NAFNet, section 3.2)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.permute(0, 2, 3, 1)  # N,H,W,C: contiguous when x is channels-last
        normed = F.layer_norm(rows, (rows.shape[-1],), self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2)


def sn_conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
    """Return a bias-free convolution under spectral normalisation (arXiv 1802.05957)."""
    padding = (kernel - 1) // 2 if stride == 1 else 1
    return spectral_norm(nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False))


def init_dcgan(module: nn.Module) -> None:
    """Weights from N(0, 0.02), scales from N(1, 0.02) (DCGAN, arXiv 1511.06434, section 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
