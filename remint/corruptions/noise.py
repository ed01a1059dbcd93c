"""Noise: every pixel draws for itself, from a stream that the recipe names.

Strengths are ImageNet-C's (Hendrycks & Dietterich 2019, arXiv 1903.12261). Normal values come by
inversion (Devroye 1986, ch. II.2) from the 65,536 equally likely quantiles of the distribution:
exact to 16 bits, cut at 4.3 standard deviations, several times faster than rejection sampling.
"""

from functools import cache, lru_cache

import cv2
import numpy as np
from scipy import special

from remint.corruptions.drawing import Recipe, Shape, at, stream_key, words

CELLS = 4096  # equally likely cells of one Poisson distribution


@cache
def _normal_quantiles() -> np.ndarray:
    return special.ndtri((np.arange(65536) + 0.5) / 65536).astype(np.float32)


def normal_field(key: str, shape: Shape, grey: bool = False) -> np.ndarray:
    """Return float32 standard normal values of `shape`; grey: all channels share them."""
    height, width, channels = shape
    drawn = 1 if grey else channels
    z = cv2.LUT(words(key, height * width * drawn).reshape(1, -1), _normal_quantiles())
    z = z.reshape(height, width, drawn)
    return z if drawn == channels else cv2.merge([z] * channels)


def gaussian_noise(image: np.ndarray, *, std: float, key: str, grey: bool = False) -> np.ndarray:
    """Add N(0, std^2), std as a share of the full range (ImageNet-C)."""
    z = normal_field(key, image.shape, grey)
    noisy = cv2.addWeighted(image, 1.0, z, std * 255, 0.0, dtype=cv2.CV_8U)
    return noisy.reshape(image.shape)


def draw_gaussian_noise(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Gaussian noise, std .08 to .38 of the range (ImageNet-C)."""
    std = at((0.08, 0.12, 0.18, 0.26, 0.38), severity)
    return [{"operation": "gaussian_noise", "std": std, "key": stream_key(generator)}]


def speckle(image: np.ndarray, *, std: float, key: str) -> np.ndarray:
    """Add x N(0, std^2): noise in proportion to the light (ImageNet-C, an extra corruption)."""
    z = normal_field(key, image.shape)
    grain = cv2.multiply(image, z, scale=std, dtype=cv2.CV_32F)
    return cv2.add(image, grain, dtype=cv2.CV_8U).reshape(image.shape)


def draw_speckle(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Multiplicative Gaussian noise, std .15 to .6 (ImageNet-C)."""
    std = at((0.15, 0.2, 0.35, 0.45, 0.6), severity)
    return [{"operation": "speckle", "std": std, "key": stream_key(generator)}]


def _poisson_cells(means: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """Map (256 levels x 4096 cells) to `outcomes[level, count]`, count by inversion of the CDF."""
    counts = np.arange(outcomes.shape[1])
    ends = np.rint(special.pdtr(counts, means[:, None]) * CELLS).astype(np.int64)
    ends[:, -1] = CELLS
    return np.repeat(outcomes.ravel(), np.diff(ends, axis=1, prepend=0).ravel())


@lru_cache(maxsize=64)
def _photon_table(photons: int) -> np.ndarray:
    """Return the uint8 pixel of each (level, cell); one table is 1 MiB and 58 are in use."""
    means = np.arange(256) / 255 * photons
    most = int(photons + 8 * photons**0.5 + 8)
    pixels = np.minimum(np.rint(np.arange(most) * 255 / photons), 255).astype(np.uint8)
    return _poisson_cells(means, np.broadcast_to(pixels, (256, most)))


def _look_up(table: np.ndarray, levels: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    cells = levels.reshape(-1).astype(np.intp)
    cells <<= 12
    cells |= drawn >> 4
    return table.take(cells, mode="wrap").reshape(levels.shape)


def poisson(image: np.ndarray, *, photons: int, key: str) -> np.ndarray:
    """Count photons: Poisson(x photons) / photons, x in [0, 1] (shot noise of ImageNet-C).

    The strength depends on `photons` alone, not on how many grey levels the image has.
    """
    return _look_up(_photon_table(photons), image, words(key, image.size))


def draw_poisson(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Shot noise, 60 down to 3 photons for full white (ImageNet-C)."""
    photons = round(at((60, 25, 12, 5, 3), severity))
    return [{"operation": "poisson", "photons": photons, "key": stream_key(generator)}]


@cache
def _level_noise_table() -> np.ndarray:
    """Return Poisson(v) - v, int16, of each 8-bit level v and cell: 2 MiB."""
    levels = np.arange(256)
    outcomes = np.arange(256 + 8 * 16 + 8)[None, :] - levels[:, None]
    return _poisson_cells(levels.astype(float), outcomes.astype(np.int16))


def level_noise(image: np.ndarray, *, scale: float, key: str, grey: bool) -> np.ndarray:
    """Add scale (Poisson(v) - v) for levels v in 0..255 (Real-ESRGAN, arXiv 2107.10833, 3.1).

    The published code scales by the image's own count of grey levels; here it is always 256. grey:
    one draw, of the luma, for all channels.
    """
    light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if grey and image.shape[2] == 3 else image
    noise = _look_up(_level_noise_table(), light, words(key, light.size))
    noise = cv2.merge([noise] * 3) if noise.ndim == 2 else noise
    return cv2.addWeighted(image, 1.0, noise, scale, 0.0, dtype=cv2.CV_8U).reshape(image.shape)


def salt_and_pepper(image: np.ndarray, *, share: float, key: str) -> np.ndarray:
    """Turn a share of the pixels, all channels alike, white or black (impulse noise)."""
    height, width, channels = image.shape
    drawn = words(key, height * width).reshape(height, width)
    hit = (drawn < round(share * 65536)).view(np.uint8)
    value = np.negative((drawn < round(share * 32768)).view(np.uint8))  # salt 255, pepper 0
    noisy = image.copy()
    cv2.copyTo(cv2.merge([value] * channels), hit, noisy)
    return noisy


def draw_salt_and_pepper(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Impulse noise on 3 to 27 % of the pixels (ImageNet-C)."""
    share = at((0.03, 0.06, 0.09, 0.17, 0.27), severity)
    return [{"operation": "salt_and_pepper", "share": share, "key": stream_key(generator)}]
