"""A small convolutional classifier whose weights are drawn from counters."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import skip_init

from remint.core.randomness import generator

SMALLEST_MAP = 7  # px: strides go on until the map is this small
FIELDS = 4


class ClassifierNetwork(nn.Module):
    """float32 N,C,H,W in [-1, 1] -> logits [N, K]; `features` gives the layer before, [N, 4 W].

    3x3 convolutions with batch-norm, strided down to 7 px; means over 4 x 4 fields, which keep
    where things are; a linear layer to the features and one to the logits.
    """

    def __init__(self, channels: int, side: int, classes: int, width: int) -> None:
        super().__init__()
        strided = max(1, math.ceil(math.log2(side / SMALLEST_MAP)))
        widths = [min(width * 2**k, 2 * width) for k in range(strided)]
        layers, inputs = [], channels
        for outputs in widths:
            layers += [_convolution(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(FIELDS), nn.Flatten())
        self.neck = skip_init(nn.Linear, inputs * FIELDS**2, 4 * width, bias=False)
        self.norm = nn.BatchNorm1d(4 * width)
        self.head = skip_init(nn.Linear, 4 * width, classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.norm(self.neck(self.body(x))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


def _convolution(inputs: int, outputs: int) -> nn.Module:
    return skip_init(nn.Conv2d, inputs, outputs, 3, stride=2, padding=1, bias=False)


def initialise(network: nn.Module, seed: int) -> None:
    """Fill weights from N(0, 2 / fan-in) (He et al., arXiv 1502.01852, eq. 10), keyed by name."""
    for name, tensor in network.named_parameters():
        if tensor.ndim > 1:
            drawn = generator(seed, "classifier-weights", name).standard_normal(tensor.shape)
            std = math.sqrt(2.0 / tensor[0].numel())
            tensor.data.copy_(torch.from_numpy(drawn * std))
        elif name == "head.bias":
            tensor.data.zero_()
