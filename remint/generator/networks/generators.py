"""Class-conditional generators: latents and labels in, float32 N,C,S,S in [-1, 1] out.

`labels` is int64 [N]; an unlabelled set has one class, 0.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from remint.networks.blocks import init_dcgan


def starting_side(size: int) -> int:
    """Return the side from which doubling reaches `size`: 4 to 7 px; ValueError if none does."""
    side = size
    while side > 7 and side % 2 == 0:
        side //= 2
    if not 4 <= side <= 7 or size < 8:
        raise ValueError(
            f"size: found images of {size} px, needed 4, 5, 6 or 7 times a power of two (such as "
            "28, 32, 48, 64); set ingest.size to the nearest one"
        )
    return side


class ClassCode(nn.Module):
    """Join latents [N, Z] with L2-normalised class embeddings to [N, Z + E]."""

    def __init__(self, latent: int, classes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, width)
        self.width = latent + width

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        code = F.normalize(self.embedding(labels), dim=1)
        return torch.cat([z, code * code.shape[1] ** 0.5], dim=1)


class ConditionalNorm(nn.Module):
    """Batch-norm with a scale and shift for each class (cBN; Dumoulin et al., arXiv 1610.07629)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Embedding(classes, channels)
        self.shift = nn.Embedding(classes, channels)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        scale, shift = (table(labels)[:, :, None, None] for table in (self.scale, self.shift))
        return self.norm(x) * scale + shift


class ConvGenerator(nn.Module):
    """The CPU preset: Linear, then nearest doubling with 3x3 convolutions and conditional norms."""

    def __init__(self, channels: int, size: int, classes: int, latent: int, width: int) -> None:
        super().__init__()
        self.side = starting_side(size)
        doublings = (size // self.side).bit_length() - 1
        widths = [max(width // 2**level, 8) for level in range(doublings + 1)]
        self.code = ClassCode(latent, classes, 32)
        self.start = nn.Linear(self.code.width, widths[0] * self.side**2)
        self.norms = nn.ModuleList(ConditionalNorm(w, classes) for w in widths)
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(widths))
        self.ending = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = self.start(self.code(z, labels)).view(z.shape[0], -1, self.side, self.side)
        for norm, conv in zip(self.norms, self.convs, strict=False):
            x = F.interpolate(F.relu(norm(x, labels)), scale_factor=2.0, mode="nearest")
            x = conv(x)
        return torch.tanh(self.ending(F.relu(self.norms[-1](x, labels))))


class ArticleGenerator(nn.Module):
    """The article's: transposed convolutions with batch-norm and ReLU, tanh (DCGAN, 1511.06434)."""

    def __init__(self, channels: int, size: int, classes: int, latent: int, width: int) -> None:
        super().__init__()
        self.side = starting_side(size)
        doublings = (size // self.side).bit_length() - 1
        self.code = ClassCode(latent, classes, 32)
        widths = [width * 2 ** (doublings - 1 - level) for level in range(doublings)]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(self.code.width, widths[0], self.side, bias=False)
        ]
        for inputs, outputs in zip(widths, [*widths[1:], channels], strict=True):
            layers += [nn.BatchNorm2d(inputs), nn.ReLU()]
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.apply(init_dcgan)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.layers(self.code(z, labels)[:, :, None, None])


class ProjectionHead(nn.Module):
    """Features [N, W] and labels to logits [N]: a line plus <embedding(label), features> / sqrt(W).

    Projection discriminator (Miyato & Koyama, arXiv 1802.05637, equation 3).
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.line = nn.Linear(width, 1)
        self.embedding = nn.Embedding(classes, width)

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        projection = (features * self.embedding(labels)).sum(dim=1) / features.shape[1] ** 0.5
        return self.line(features).squeeze(1) + projection


class ConvDiscriminator(nn.Module):
    """The CPU preset's discriminator: strided 4x4, then 3x3 convolutions, no norm, projection head.

    N,C,S,S in [-1, 1] and labels to logits [N].
    """

    def __init__(self, channels: int, size: int, classes: int, width: int) -> None:
        super().__init__()
        halvings = (size // starting_side(size)).bit_length() - 1
        widths = [max(width // 2 ** (halvings - level), 8) for level in range(halvings + 1)]
        plan = zip([channels, *widths], widths[:-1], strict=False)
        self.downs = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1) for i, o in plan)
        self.last = nn.Conv2d(widths[-2], widths[-1], 3, padding=1)
        self.head = ProjectionHead(widths[-1], classes)

    def levels(self) -> list[nn.Module]:
        """Return what is trained of each resolution, from the image on."""
        return [*self.downs, self.last]

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        for down in self.downs:
            x = F.leaky_relu(down(x), 0.2)
        x = F.leaky_relu(self.last(x), 0.2)
        return self.head(x.mean(dim=(2, 3)), labels)


class ArticleDiscriminator(nn.Module):
    """The article's discriminator: strided convolution, batch-norm, LeakyReLU 0.2, projection."""

    def __init__(self, channels: int, size: int, classes: int, width: int) -> None:
        super().__init__()
        halvings = (size // starting_side(size)).bit_length() - 1
        widths = [width * 2**level for level in range(halvings)]
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs)]
            layers += [nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.head = ProjectionHead(widths[-1] * starting_side(size) ** 2, classes)
        self.apply(init_dcgan)

    def levels(self) -> list[nn.Module]:
        """Return what is trained of each resolution, from the image on."""
        starts = [k for k, layer in enumerate(self.layers) if isinstance(layer, nn.Conv2d)]
        return [self.layers[a:b] for a, b in pairwise([*starts, len(self.layers)])]

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x), labels)


class ConditionalVae(nn.Module):
    """Class-conditional variational auto-encoder (arXiv 1312.6114); decodes like a generator."""

    def __init__(self, channels: int, size: int, classes: int, latent: int, width: int) -> None:
        super().__init__()
        self.decoder = ConvGenerator(channels, size, classes, latent, width)
        discriminator = ConvDiscriminator(channels, size, classes, width)
        self.downs, self.last = discriminator.downs, discriminator.last
        features = self.last.out_channels * starting_side(size) ** 2
        self.moments = nn.Linear(features + classes, 2 * latent)
        self.classes = classes

    def encode(self, x: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log-variance, [N, Z] each."""
        for down in self.downs:
            x = F.leaky_relu(down(x), 0.2)
        x = F.leaky_relu(self.last(x), 0.2).flatten(1)
        code = F.one_hot(labels, self.classes).to(x.dtype)
        mean, log_variance = self.moments(torch.cat([x, code], dim=1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-10, 10)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.decoder(z, labels)
