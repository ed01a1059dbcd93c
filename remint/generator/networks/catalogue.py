"""Generators and their judges by name: configuration in, modules out."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, Le
from torch import nn

from remint.generator.networks.generators import (
    ArticleDiscriminator,
    ArticleGenerator,
    ConditionalVae,
    ConvDiscriminator,
    ConvGenerator,
)
from remint.generator.networks.r3 import SIZES, R3Discriminator, R3Generator

GENERATORS = {
    "conv": ConvGenerator,
    "article": ArticleGenerator,
    "r3": R3Generator,
    "vae": ConditionalVae,
}
DISCRIMINATORS = {"conv": ConvDiscriminator, "article": ArticleDiscriminator, "r3": R3Discriminator}


@dataclass(frozen=True)
class GeneratorConfig:
    """Which pair of networks (auto: see `chosen`), how wide each, and the length of the latent."""

    name: Literal["auto", "conv", "article", "r3", "vae"]
    width: Annotated[int, Ge(8), Le(4096)]
    discriminator_width: Annotated[int, Ge(8), Le(4096)]
    latent: Annotated[int, Ge(1), Le(65_536)]


def chosen(config: GeneratorConfig, size: int, on_gpu: bool) -> GeneratorConfig:
    """Return the configuration with `auto` decided: r3 on a GPU at a size it has, else conv."""
    if config.name != "auto":
        return config
    return replace(config, name="r3" if on_gpu and size in SIZES else "conv")


def build_generator(config: GeneratorConfig, channels: int, size: int, classes: int) -> nn.Module:
    """Return the generator for N,C,S,S images; ValueError for a size that it can't make."""
    return GENERATORS[config.name](channels, size, classes, config.latent, config.width)


def build_discriminator(
    config: GeneratorConfig, channels: int, size: int, classes: int
) -> nn.Module | None:
    """Return the discriminator, None for the VAE, which has no game."""
    if config.name == "vae":
        return None
    return DISCRIMINATORS[config.name](channels, size, classes, config.discriminator_width)
