"""Chains: kinds made of many operations, all of them in the recipe.

The second-order chain is Real-ESRGAN's (Wang et al. 2021, arXiv 2107.10833, 3 and appendix): blur,
resize, noise and JPEG, twice, with its published ranges at severity 5 and a fifth of the way from
harmless to them at severity 1. Its lengths hold for crops of 256 px: smaller images scale them
down, larger ones keep them.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from remint.corruptions.blur import draw_gaussian_blur
from remint.corruptions.drawing import Recipe, Shape, at, integer, stream_key, uniform
from remint.corruptions.marks import draw_scratches, draw_stains
from remint.corruptions.tone import draw_fading

CROP = 256  # pixels: the side of the images for which the chain was published
FORMS = ("isotropic", "anisotropic", "generalised", "plateau", "sinc")


class Order(NamedTuple):
    """The published ranges of one of the two passes (Real-ESRGAN, appendix)."""

    blur_chance: float
    sigma: float  # pixels; from 0.2
    resize_chances: tuple[float, float, float]  # up, down, keep
    resize: tuple[float, float]
    noise: float  # grey levels; from 1
    poisson: float  # from 0.05


FIRST = Order(1.0, 3.0, (0.2, 0.7, 0.1), (0.15, 1.5), 30, 3.0)
SECOND = Order(0.8, 1.5, (0.3, 0.4, 0.3), (0.3, 1.2), 25, 2.5)


def _choose(chances: Sequence[float], generator: np.random.Generator) -> int:
    """Return an index, drawn with the given chances (they sum to 1)."""
    return int(np.searchsorted(np.cumsum(chances)[:-1], generator.random(), side="right"))


def _side(shape: Shape, generator: np.random.Generator) -> int:
    """Draw an odd kernel side from 7..21, scaled to small images and 3 at least."""
    radius = integer(generator, 3, 10) * min(1, min(shape[:2]) / CROP)
    return 2 * max(1, round(radius)) + 1


def draw_sinc(shape: Shape, share: float, generator: np.random.Generator) -> Recipe:
    """Draw a sinc filter, cut-off from pi/3 (pi/5 for sides from 13 on) to pi."""
    side = _side(shape, generator)
    lowest = math.pi / (3 if side < 13 else 5)
    cutoff = uniform(generator, math.pi - share * (math.pi - lowest), math.pi)
    return [{"operation": "sinc_blur", "side": side, "cutoff": cutoff}]


def _draw_blur(shape: Shape, order: Order, share: float, generator: np.random.Generator) -> Recipe:
    """Draw one of five kernel forms: isotropic .45, anisotropic .25, generalised .15, ..."""
    form = FORMS[_choose((0.45, 0.25, 0.15, 0.15), generator)]
    if generator.random() < 0.1:
        return draw_sinc(shape, share, generator)
    scale = min(1, min(shape[:2]) / CROP)
    sigmas = [uniform(generator, 0.2, 0.2 + share * (order.sigma - 0.2)) * scale for _ in range(2)]
    # published: of generalised and plateau kernels four in five are isotropic (.12 against .03)
    round_one = form == "isotropic" or (form != "anisotropic" and generator.random() < 0.8)
    values = {
        "side": _side(shape, generator),
        "sigma_x": round(max(0.2, sigmas[0]), 5),
        "sigma_y": round(max(0.2, sigmas[0 if round_one else 1]), 5),
        "angle": uniform(generator, 0, 180),
    }
    if form == "plateau":
        return [{"operation": "plateau_blur", **values, "beta": uniform(generator, 1, 2)}]
    beta = uniform(generator, 0.5, 4) if form == "generalised" else 1.0
    return [{"operation": "generalised_blur", **values, "beta": beta}]


def _draw_resize(
    shape: Shape, order: Order, share: float, generator: np.random.Generator
) -> Recipe:
    """Draw a new size relative to the clean image: up, down or kept; area, linear or cubic."""
    low, high = (1 + share * (end - 1) for end in order.resize)
    ranges = ((1.0, high), (low, 1.0), (1.0, 1.0))
    factor = uniform(generator, *ranges[_choose(order.resize_chances, generator)])
    return [_resize(shape, factor, generator)]


def _resize(shape: Shape, factor: float, generator: np.random.Generator) -> dict[str, object]:
    height, width = (max(1, round(side * factor)) for side in shape[:2])
    method = ("area", "bilinear", "bicubic")[integer(generator, 0, 2)]
    return {"operation": "resize", "height": height, "width": width, "method": method}


def _draw_noise(order: Order, share: float, generator: np.random.Generator) -> Recipe:
    """Draw Gaussian or Poisson noise by a fair coin, grey with chance .4."""
    gaussian, grey = bool(generator.random() < 0.5), bool(generator.random() < 0.4)
    common = {"key": stream_key(generator), "grey": grey}
    if gaussian:
        std = round(uniform(generator, 1, 1 + share * (order.noise - 1)) / 255, 5)
        return [{"operation": "gaussian_noise", "std": std, **common}]
    scale = uniform(generator, 0.05, 0.05 + share * (order.poisson - 0.05))
    return [{"operation": "level_noise", "scale": scale, **common}]


def _draw_jpeg(share: float, generator: np.random.Generator) -> Recipe:
    return [{"operation": "jpeg", "quality": round(uniform(generator, 95 - 65 * share, 95))}]


def _draw_order(shape: Shape, order: Order, share: float, generator: np.random.Generator) -> Recipe:
    blurred = generator.random() < order.blur_chance
    recipe = _draw_blur(shape, order, share, generator) if blurred else []
    recipe += _draw_resize(shape, order, share, generator)
    return recipe + _draw_noise(order, share, generator)


def draw_second_order(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Real-ESRGAN's chain; the image comes back at its own size, not at a quarter of it."""
    share = severity / 5
    recipe = _draw_order(shape, FIRST, share, generator) + _draw_jpeg(share, generator)
    recipe += _draw_order(shape, SECOND, share, generator)
    back: Recipe = [_resize(shape, 1.0, generator)]
    if generator.random() < 0.8:
        back += draw_sinc(shape, share, generator)
    last = _draw_jpeg(share, generator)
    return recipe + (back + last if generator.random() < 0.5 else last + back)


def _draw_grain(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    std = at((0.015, 0.025, 0.035, 0.05, 0.07), severity)
    key = stream_key(generator)
    return [{"operation": "gaussian_noise", "std": std, "key": key, "grey": True}]


def draw_old_photo(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """An old print, scanned: soft, grainy, faded, mostly scratched, often stained.

    The mixture of structured and unstructured damage of Wan et al. 2020 (arXiv 2004.09484, 4.1).
    """
    mild = 1 + (severity - 1) / 2
    parts: Sequence[tuple[float, float, Callable[..., Recipe]]] = (
        (0.7, 1 + (severity - 1) / 4, draw_gaussian_blur),
        (1.0, severity, _draw_grain),
        (0.9, mild, draw_fading),
        (0.5, mild, draw_stains),
        (0.8, severity, draw_scratches),
    )
    recipe: Recipe = []
    for chance, strength, draw in parts:
        if generator.random() < chance:
            recipe += draw(shape, strength, generator)
    return recipe
