"""Generators and their discriminators by name: configuration in, modules out."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, Le
from torch import nn

from remint.core.device import Precision
from remint.generator.networks.flow import FlowGenerator, JumpDiscriminator, JumpGenerator, Solver
from remint.generator.networks.generators import (
    ArticleDiscriminator,
    ArticleGenerator,
    ConditionalVae,
    ConvDiscriminator,
    ConvGenerator,
)
from remint.generator.networks.r3 import R3Discriminator, R3Generator

GENERATORS = {
    "conv": ConvGenerator,
    "article": ArticleGenerator,
    "r3": R3Generator,
    "vae": ConditionalVae,
}
DISCRIMINATORS = {"conv": ConvDiscriminator, "article": ArticleDiscriminator, "r3": R3Discriminator}

FLOWS = {"flow": FlowGenerator, "adversarial_flow": JumpGenerator}
WITHOUT_GAME = ("vae", "flow")
# With batch-norm, or a loss that is no mean over images: parts of a batch teach something else
WHOLE_BATCH = ("conv", "article", "vae")


@dataclass(frozen=True)
class GeneratorConfig:
    """Which pair of networks (auto: see `chosen`), how wide each, and the length of the latent.

    Of flow alone: steps of the solver an image, guidance (1: none; arXiv 2207.12598), and solver:
    adams, one call of the network a step, or heun, two (cards without the word are heun's). Its
    latent is as long as an image has values, as that of adversarial_flow, whose steps are jumps and
    whose discriminator is as wide as its generator, since it may begin from its weights.
    """

    name: Literal["auto", "conv", "article", "r3", "vae", "flow", "adversarial_flow"]
    width: Annotated[int, Ge(8), Le(4096)]
    discriminator_width: Annotated[int, Ge(8), Le(4096)]
    latent: Annotated[int, Ge(1), Le(1_000_000)]
    steps: Annotated[int, Ge(1), Le(1000)]
    guidance: Annotated[float, Ge(0), Le(100)]
    solver: Solver = "heun"


def chosen(config: GeneratorConfig, channels: int, size: int) -> GeneratorConfig:
    """Return the configuration with `auto` decided, and flow's latent as long as an image.

    auto: flow, which teaches a classifier most for its minutes on a CPU and on a GPU.
    """
    if config.name == "auto":
        config = replace(config, name="flow")
    return replace(config, latent=channels * size**2) if config.name in FLOWS else config


def sampling_precision(name: str) -> Precision:
    """Return the precision in which a generator mints: flow as the device likes, others in fp32.

    Flow adds its calls up in fp32, so that bf16 inside them moves 98 of 100 pixels by at most one
    level of 255.
    """
    return "auto" if name in FLOWS else "fp32"


def build_generator(config: GeneratorConfig, channels: int, size: int, classes: int) -> nn.Module:
    """Return the generator for N,C,S,S images; ValueError for a size that it can't make."""
    if config.name in FLOWS:
        shape = channels, size, classes, config.width
        return FLOWS[config.name](*shape, config.steps, config.guidance, config.solver)
    return GENERATORS[config.name](channels, size, classes, config.latent, config.width)


def build_discriminator(
    config: GeneratorConfig, channels: int, size: int, classes: int
) -> nn.Module | None:
    """Return the discriminator, None for what has no game."""
    if config.name in WITHOUT_GAME:
        return None
    if config.name in FLOWS:
        return JumpDiscriminator(channels, size, classes, config.width)
    return DISCRIMINATORS[config.name](channels, size, classes, config.discriminator_width)
