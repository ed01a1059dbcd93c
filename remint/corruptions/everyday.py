"""Everyday damage: what cameras, phones and the web do to photographs, in pixels and grey levels.

Milder than ImageNet-C's scales, and the same for pictures of every size: severity 5 is noise of
sigma 50, JPEG quality 10, a blur of 1.5 px and half of the pixels a side; severity 1 a fifth of
that. Each part is drawn from nothing up to its limit.
"""

import cv2
import numpy as np

from remint.corruptions.drawing import Recipe, Shape, stream_key, uniform
from remint.corruptions.noise import normal_field

SIGMA = 50.0  # grey levels, at severity 5
BLUR = 1.5  # pixels
WORST, BEST = 10, 95  # quality of JPEG; WebP's, which is kinder, is WEBP_KINDER lower
WEBP_KINDER = 5
SMALLEST = 0.5  # of the pixels a side


def sensor_noise(
    image: np.ndarray, *, shot: float, read: float, grain: float, key: str
) -> np.ndarray:
    """Add noise of variance shot x + read^2, x in levels of 0..255, smoothed by `grain` pixels.

    The noise of a sensor is Poisson for the light and Gaussian for its reading (Foi et al.,
    "Practical Poissonian-Gaussian noise modeling", IEEE TIP 2008); demosaicing and scaling blur it.
    """
    field = normal_field(key, image.shape)
    if grain > 0:
        field = cv2.GaussianBlur(field, (0, 0), grain)
        field = field / np.float32(field.std() + 1e-6)
    scale = np.sqrt(shot * image.astype(np.float32) + read**2)
    noisy = image + scale * field.reshape(image.shape)
    return np.rint(noisy).clip(0, 255).astype(np.uint8)


def draw_sensor_noise(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Draw a sensor's noise: sigma of up to 10 severity levels in white."""
    sigma = uniform(generator, 0.2, 1.0) * SIGMA * severity / 5
    reading = uniform(generator, 0.0, 0.7)  # of the standard deviation in white
    return [
        {
            "operation": "sensor_noise",
            "shot": round(sigma**2 * (1 - reading**2) / 255, 5),
            "read": round(sigma * reading, 5),
            "grain": max(0.0, uniform(generator, -0.6, 0.8)),
            "key": stream_key(generator),
        }
    ]


def draw_plain_noise(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Draw Gaussian noise of sigma 10 severity levels, of its own in each channel."""
    std = round(SIGMA * severity / 5 / 255, 5)
    return [{"operation": "gaussian_noise", "std": std, "key": stream_key(generator)}]


def draw_soft(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Draw a slight blur: Gaussian, sigma .3 severity pixels, nearly nothing at severity 1."""
    return [{"operation": "gaussian_blur", "sigma": round(BLUR * severity / 5, 5)}]


def draw_shared_jpeg(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Draw the JPEG of a web page: quality 78 to 10."""
    return [{"operation": "jpeg", "quality": _quality(severity)}]


def draw_shared_webp(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Draw the WebP of a web page: quality 73 to 5, near in strength to the JPEG."""
    return [{"operation": "webp", "quality": _quality(severity) - WEBP_KINDER}]


def _quality(severity: float) -> int:
    return round(BEST - (BEST - WORST) * severity / 5)


def draw_shrunk(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Draw a scaling down to .9 .. .5 of the pixels a side, brought back bicubically."""
    factor = 1 - (1 - SMALLEST) * severity / 5
    height, width = (max(1, round(side * factor)) for side in shape[:2])
    return [{"operation": "there_and_back", "height": height, "width": width, "method": "bicubic"}]


def draw_everyday(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Draw a photograph's life in its order: soft, noisy, scaled down, compressed; each by chance.

    Every part has a strength of its own, up to `severity`.
    """
    noise = draw_sensor_noise if generator.random() < 0.5 else draw_plain_noise
    shared = draw_shared_jpeg if generator.random() < 0.8 else draw_shared_webp
    parts = ((0.3, draw_soft), (0.6, noise), (0.2, draw_shrunk), (0.7, shared))
    recipe: Recipe = []
    for chance, draw in parts:
        if generator.random() < chance:
            recipe += draw(shape, uniform(generator, 0.2, severity), generator)
    return recipe
