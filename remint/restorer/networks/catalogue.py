"""The networks by name: configuration in, module out."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from remint.restorer.networks.baselines import ArticleRestorer, DnCnn, UNet
from remint.restorer.networks.discriminators import (
    ArticleDiscriminator,
    PatchGan,
    UNetDiscriminator,
)
from remint.restorer.networks.nafnet import NafNet


@dataclass(frozen=True)
class NetworkConfig:
    """Which restoration network, and how large.

    encoder, middle and stem speak to nafnet; depth to dncnn (layers) and unet (levels).
    """

    name: Literal["nafnet", "unet", "dncnn", "article"]
    width: int
    encoder: tuple[int, ...]
    middle: int
    stem: Literal[1, 2, 4]
    depth: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.middle < 0 or min(self.encoder, default=1) < 0:
            raise ValueError(
                f"network: found width {self.width}, encoder {list(self.encoder)}, "
                f"middle {self.middle}; needed width of 1 or more and block counts of 0 or more"
            )
        if self.depth < 2:
            raise ValueError(f"network.depth: found {self.depth}, needed 2 or more")


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Which discriminator, how wide, and whether it sees the damaged input beside the image."""

    name: Literal["article", "patchgan", "unet"]
    width: int
    conditional: bool

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"discriminator.width: found {self.width}, needed 1 or more")


def build_network(config: NetworkConfig, channels: int) -> nn.Module:
    """Return the restoration network for images of 1 or 3 channels; it has `.multiple`."""
    match config.name:
        case "nafnet":
            return NafNet(channels, config.width, config.encoder, config.middle, config.stem)
        case "unet":
            return UNet(channels, config.width, config.depth)
        case "dncnn":
            return DnCnn(channels, config.width, config.depth)
        case "article":
            return ArticleRestorer(channels, config.width)
        case unknown:
            raise ValueError(
                f"network.name: found {unknown!r}, needed nafnet, unet, dncnn, article"
            )


def build_discriminator(config: DiscriminatorConfig, channels: int) -> nn.Module:
    """Return the discriminator; a conditional one takes image and input stacked by channel."""
    kinds = {"article": ArticleDiscriminator, "patchgan": PatchGan, "unet": UNetDiscriminator}
    return kinds[config.name](channels * (2 if config.conditional else 1), config.width)
