"""Blur: convolution with a kernel that sums to one; borders are mirrored.

Lengths are ImageNet-C's for 224 px, scaled to the image, but never below what its authors chose
for the 32 px of CIFAR-10-C (Hendrycks & Dietterich 2019, arXiv 1903.12261): under half a pixel a
blur leaves 8-bit pixels as they are.
"""

import itertools
import math

import cv2
import numpy as np
from scipy import special

from remint.corruptions.drawing import Recipe, Shape, length, to_levels, uniform

TILE = 11  # pixels: the side of the largest kernels that OpenCV does not transform


def convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Filter uint8 HWC with an odd square kernel, brightness kept."""
    kernel = (kernel / kernel.sum()).astype(np.float32)
    # in floats, since OpenCV's path for large kernels on bytes takes three times as long
    return to_levels(cv2.filter2D(image.astype(np.float32), -1, kernel).reshape(image.shape))


def convolve_thin(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Do what `convolve` does, quickly for kernels that are mostly zero.

    OpenCV skips zeros in kernels of up to 11 x 11 alone, so this one is cut into such tiles.
    """
    height, width, radius = *image.shape[:2], len(kernel) // 2
    kernel = (kernel / kernel.sum()).astype(np.float32)
    around = (radius, radius, radius, radius)
    wide = cv2.copyMakeBorder(image, *around, cv2.BORDER_REFLECT_101).astype(np.float32)
    total = np.zeros(image.shape, np.float32)
    for y, x in itertools.product(range(0, len(kernel), TILE), repeat=2):
        tile = kernel[y : y + TILE, x : x + TILE]
        if tile.any():
            below, right = height + tile.shape[0] - 1, width + tile.shape[1] - 1
            part = cv2.filter2D(wide[y : y + below, x : x + right], -1, tile, anchor=(0, 0))
            total += part[:height, :width].reshape(image.shape)
    return to_levels(total)


def _grid(radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the x and y offsets, float64, of a kernel of side 2 radius + 1."""
    offsets = np.arange(-radius, radius + 1, dtype=np.float64)
    return offsets[None, :], offsets[:, None]


def gaussian_blur(image: np.ndarray, *, sigma: float) -> np.ndarray:
    """Convolve with a Gaussian of `sigma` pixels (ImageNet-C), cut at 3 sigma."""
    side = 2 * max(1, round(3 * sigma)) + 1
    taps = cv2.getGaussianKernel(side, sigma, cv2.CV_32F)
    return cv2.sepFilter2D(image, -1, taps, taps).reshape(image.shape)


def draw_gaussian_blur(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Gaussian blur, sigma 1 to 6 px at 224 px (ImageNet-C)."""
    sigma = length((1, 2, 3, 4, 6), (0.4, 0.6, 0.7, 0.8, 1), severity, shape)
    return [{"operation": "gaussian_blur", "sigma": sigma}]


def defocus(image: np.ndarray, *, radius: float) -> np.ndarray:
    """Convolve with a disk of `radius` pixels, its edge antialiased (ImageNet-C)."""
    x, y = _grid(math.ceil(radius + 0.5))
    return convolve(image, np.clip(radius + 0.5 - np.hypot(x, y), 0, 1))


def draw_defocus(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Blur of a lens out of focus, radius 3 to 10 px at 224 px (ImageNet-C).

    The least radii spread as far as CIFAR-10-C's disks, which a Gaussian of .4 to .6 px softens.
    """
    radius = length((3, 4, 6, 8, 10), (0.55, 0.65, 0.75, 1, 1.5), severity, shape)
    return [{"operation": "defocus", "radius": radius}]


def motion_blur(image: np.ndarray, *, extent: float, sigma: float, angle: float) -> np.ndarray:
    """Convolve with a line of `extent` pixels at `angle` degrees, weighted N(0, sigma^2) along it.

    Weights fall off linearly within a pixel of the line and of its ends, so that every length and
    angle differs. ImageNet-C weights its lines so, too; its severities 2 to 4 differ in that alone.
    """
    x, y = _grid(math.ceil(extent / 2 + 0.5))
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along, across = np.abs(x * cos + y * sin), np.abs(y * cos - x * sin)
    line = np.clip(extent / 2 + 0.5 - along, 0, 1) * np.clip(1 - across, 0, 1)
    filtered = convolve_thin if len(line) <= 4 * TILE else convolve
    return filtered(image, line * np.exp(-0.5 * (along / sigma) ** 2))


def draw_motion_blur(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Blur of a moving camera, length 10 to 20 px at 224 px, any angle (ImageNet-C).

    The least lengths are half of CIFAR-10-C's, whose lines run to one side of the pixel alone.
    """
    extent = length((10, 15, 15, 15, 20), (3, 3, 3, 4, 4.5), severity, shape)
    sigma = length((3, 5, 8, 12, 15), (0.5, 0.75, 1, 1.1, 1.25), severity, shape)
    angle = uniform(generator, 0, 180)
    return [{"operation": "motion_blur", "extent": extent, "sigma": sigma, "angle": angle}]


def _elliptic(radius: int, sigma_x: float, sigma_y: float, angle: float) -> np.ndarray:
    """Return c' S^-1 c over the kernel's grid, S with axes sigma_x, sigma_y turned by `angle`."""
    x, y = _grid(radius)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return ((x * cos + y * sin) / sigma_x) ** 2 + ((y * cos - x * sin) / sigma_y) ** 2


def generalised_blur(
    image: np.ndarray, *, side: int, sigma_x: float, sigma_y: float, angle: float, beta: float
) -> np.ndarray:
    """Convolve with exp(-(c' S^-1 c)^beta / 2) (Real-ESRGAN, arXiv 2107.10833, 3.1).

    beta 1 is the Gaussian, isotropic where sigma_x equals sigma_y; side is odd, in pixels.
    """
    distance = _elliptic(side // 2, sigma_x, sigma_y, angle)
    return convolve(image, np.exp(-0.5 * distance**beta))


def plateau_blur(
    image: np.ndarray, *, side: int, sigma_x: float, sigma_y: float, angle: float, beta: float
) -> np.ndarray:
    """Convolve with 1 / (1 + (c' S^-1 c)^beta) (Real-ESRGAN, arXiv 2107.10833, 3.1)."""
    distance = _elliptic(side // 2, sigma_x, sigma_y, angle)
    return convolve(image, 1 / (1 + distance**beta))


def sinc_blur(image: np.ndarray, *, side: int, cutoff: float) -> np.ndarray:
    """Convolve with w J1(w r) / (2 pi r), w = cutoff in radians a pixel (Real-ESRGAN, eq. 6).

    The ideal low-pass filter in two dimensions: it rings and overshoots as sharpening does.
    """
    x, y = _grid(side // 2)
    r = np.hypot(x, y)
    r[side // 2, side // 2] = 1
    kernel = cutoff * special.j1(cutoff * r) / (2 * np.pi * r)
    kernel[side // 2, side // 2] = cutoff**2 / (4 * np.pi)
    return convolve(image, kernel)
