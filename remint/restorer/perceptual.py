"""Perceptual losses: distances between features, of our own discriminator or of a fixed network."""

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from remint.networks import efflite

PerceptualName = Literal["features", "efflite", "vgg19"]

# Last block of each EfficientNet-Lite0 stage at strides 2, 4, 8 and 16
EFFLITE_BLOCKS = (0, 2, 4, 10)
# conv1_2, 2_2, 3_4, 4_4, 5_4 before ReLU and their weights (Real-ESRGAN, arXiv 2107.10833, 4.1)
VGG_LAYERS = {2: 0.1, 7: 0.1, 16: 1.0, 25: 1.0, 34: 1.0}
VGG_MEAN, VGG_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def feature_matching_loss(real: list[torch.Tensor], fake: list[torch.Tensor]) -> torch.Tensor:
    """Mean L1 between the discriminator's features, logits left out (pix2pixHD, arXiv 1711.11585,
    equation 4; LaMa, arXiv 2109.07161, section 2.2.3)."""
    terms = [F.l1_loss(f, r.detach()) for r, f in zip(real[:-1], fake[:-1], strict=True)]
    return torch.stack(terms).mean()


class EffLiteLoss(nn.Module):
    """L1 between EfficientNet-Lite0 features of outputs and targets, N,C,H,W in [-1, 1].

    Images are seen at their own size; each map is divided by the target map's mean magnitude.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = efflite.load()

    def _features(self, images: torch.Tensor) -> list[torch.Tensor]:
        net = self.network
        size = max(images.shape[-2:])
        x = F.relu6(net._conv_stem(efflite.preprocess(images, size)))
        maps = []
        for index, block in enumerate(net._blocks[: EFFLITE_BLOCKS[-1] + 1]):
            x = block(x)
            if index in EFFLITE_BLOCKS:
                maps.append(x)
        return maps

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            wanted = self._features(target)
        pairs = zip(self._features(output), wanted, strict=True)
        return torch.stack([F.l1_loss(o, t) / (t.abs().mean() + 1e-6) for o, t in pairs]).mean()


def vgg19_weights() -> Path | None:
    """Return torchvision's VGG19 weights file when it is on this disk already, else None."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return next(iter(sorted(folder.glob("vgg19-*.pth"))), None)


class Vgg19Loss(nn.Module):
    """Weighted L1 between VGG19 features before ReLU, N,C,H,W in [-1, 1].

    Raises ValueError where the weights are not on this disk: there is no silent substitute.
    """

    def __init__(self) -> None:
        super().__init__()
        path = vgg19_weights()
        if path is None:
            raise ValueError(
                "perceptual: vgg19 was asked for and its weights are not in torch's hub folder; "
                "put torchvision's vgg19-*.pth there, or choose features or efflite"
            )
        from torchvision.models import vgg19

        network = vgg19()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.layers = network.features[: max(VGG_LAYERS) + 1].eval().requires_grad_(False)
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # features before ReLU must survive it

    def _features(self, images: torch.Tensor) -> list[torch.Tensor]:
        mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (VGG_MEAN, VGG_STD))
        x = (images.expand(-1, 3, -1, -1) * 0.5 + 0.5 - mean) / std
        maps = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in VGG_LAYERS:
                maps.append(x)
        return maps

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            wanted = self._features(target)
        pairs = zip(VGG_LAYERS.values(), self._features(output), wanted, strict=True)
        return torch.stack([weight * F.l1_loss(o, t) for weight, o, t in pairs]).sum()


def build_perceptual(name: PerceptualName) -> nn.Module | None:
    """Return the loss network; None for `features`, which the discriminator provides."""
    match name:
        case "features":
            return None
        case "efflite":
            return EffLiteLoss()
        case "vgg19":
            return Vgg19Loss()
