"""The networks by name: configuration in, module out."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt
from torch import nn

from remint.core.ranges import Width
from remint.restorer.networks.baselines import ArticleRestorer, DnCnn, UNet
from remint.restorer.networks.discriminators import (
    ArticlePatchDiscriminator,
    PatchGan,
    UNetDiscriminator,
)
from remint.restorer.networks.nafnet import NafNet
from remint.restorer.networks.plain_unet import PlainUNet

WIDEST = 8192  # channels
# Networks and discriminators with batch-norm: parts of a batch teach something else
WHOLE_BATCH = ("dncnn", "article")


@dataclass(frozen=True)
class NetworkConfig:
    """Which restoration network, and how large.

    encoder, middle and stem speak to nafnet and plain_unet; depth to dncnn (layers) and unet
    (levels); to plain_unet sharpening, the orders of detail in which it sharpens what it made
    (0: not at all), and leak, the slope of its ReLU below 0; both are 0 where a card is silent.
    """

    name: Literal["nafnet", "plain_unet", "unet", "dncnn", "article"]
    width: Width
    encoder: tuple[Annotated[int, Ge(0), Le(256)], ...]
    middle: Annotated[int, Ge(0), Le(256)]
    stem: Literal[1, 2, 4]
    depth: Annotated[int, Ge(2), Le(100)]
    sharpening: Annotated[int, Ge(0), Le(16)] = 0
    leak: Annotated[float, Ge(0), Lt(1)] = 0.0

    def __post_init__(self) -> None:
        levels = len(self.encoder)
        by_name = {"nafnet": levels, "plain_unet": levels, "unet": self.depth - 1}
        doublings = by_name.get(self.name, 0)
        if self.width * 2 ** min(doublings, 20) > WIDEST:
            raise ValueError(
                f"network: found width {self.width} doubled {doublings} times, needed {WIDEST} "
                "channels or less in the deepest layer"
            )


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Which discriminator, how wide, and whether it sees the damaged input beside the image."""

    name: Literal["article", "patchgan", "unet"]
    width: Width
    conditional: bool


def build_network(config: NetworkConfig, channels: int) -> nn.Module:
    """Return the restoration network for images of 1 or 3 channels; it has `.multiple`."""
    match config.name:
        case "nafnet":
            return NafNet(channels, config.width, config.encoder, config.middle, config.stem)
        case "plain_unet":
            shape = config.width, config.encoder, config.middle, config.stem
            return PlainUNet(channels, *shape, config.leak, config.sharpening)
        case "unet":
            return UNet(channels, config.width, config.depth)
        case "dncnn":
            return DnCnn(channels, config.width, config.depth)
        case "article":
            return ArticleRestorer(channels, config.width)
        case unknown:
            raise ValueError(
                f"network.name: found {unknown!r}, needed nafnet, plain_unet, unet, dncnn, article"
            )


def build_discriminator(config: DiscriminatorConfig, channels: int) -> nn.Module:
    """Return the discriminator; a conditional one takes image and input stacked by channel."""
    kinds = {"article": ArticlePatchDiscriminator, "patchgan": PatchGan, "unet": UNetDiscriminator}
    return kinds[config.name](channels * (2 if config.conditional else 1), config.width)
