"""Full-reference figures of one image against its target: PSNR and SSIM, in float64.

Images are uint8 HWC in 0..255, C 1 or 3. The figure of a set is the mean of the figures of its
images, never the figure of the pooled error (which is lower by Jensen's inequality).
"""

import math
from collections.abc import Callable

import cv2
import numpy as np

# (image, target), uint8 HWC of one shape, to a number: LPIPS and its like
PairDistance = Callable[[np.ndarray, np.ndarray], float]

PEAK = 255.0
# PSNR of identical images is infinite: values are capped here, above what an eye can tell, so that
# a few exact images do not rule a mean; callers count the capped ones.
PSNR_CAP = 50.0
# A whole image is never compared above this: 40 dB is an error of 2.5 levels, which nobody sees.
WHOLE_CEILING = 40.0
CLEAN = "clean"  # the kind of "damage" of images left whole
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
_C1, _C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2


def psnr_score(image: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Return 10 log10(255^2 / mean squared error) in dB over all pixels and channels, at most 50.

    image, target: HWC of the same shape, in units of 0..255, any dtype (a float image may leave
    the range); mask: HW bool, the pixels that count. NaN where the mask selects nothing; raises
    ValueError where the shapes differ.
    """
    _check(image, target)
    squared = (image.astype(np.float64) - target.astype(np.float64)) ** 2
    kept = squared if mask is None else squared[mask]
    if kept.size == 0:
        return float("nan")
    error = float(kept.mean())
    return PSNR_CAP if error == 0 else min(PSNR_CAP, 10.0 * math.log10(PEAK**2 / error))


def psnr_ceiling(kind: str) -> float:
    """Return the dB up to which images with this kind of damage are compared."""
    return WHOLE_CEILING if kind == CLEAN else PSNR_CAP


def ssim_score(image: np.ndarray, target: np.ndarray) -> float:
    """Return the mean structural similarity, in -1..1, of two uint8 HWC images.

    Wang et al., "Image quality assessment" (IEEE TIP 2004), eq. 13: Gaussian window 11x11 of
    std 1.5, K = (0.01, 0.03), windows wholly inside the image only (no padded border), biased
    variances, mean over positions and channels. Windows hang together with figures: libraries
    that pad the border differ by up to 0.02. scikit-image, so set, gives the same to 15 digits; it
    filters plane by plane and takes three to four times as long on images up to 64 px. NaN
    for an image with a side under 11 px.
    """
    _check(image, target)
    if min(image.shape[:2]) < SSIM_WINDOW:
        return float("nan")
    x, y = image.astype(np.float64), target.astype(np.float64)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    variance_x = _window_mean(x * x) - mean_x**2
    variance_y = _window_mean(y * y) - mean_y**2
    covariance = _window_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    return float((luminance * structure).mean())


def _window_mean(image: np.ndarray) -> np.ndarray:
    """Gaussian-weighted mean under every window that lies inside the image."""
    kernel = cv2.getGaussianKernel(SSIM_WINDOW, SSIM_SIGMA, cv2.CV_64F)
    blurred = cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel)
    edge = SSIM_WINDOW // 2
    return blurred[edge:-edge, edge:-edge]


def _check(image: np.ndarray, target: np.ndarray) -> None:
    if image.shape != target.shape:
        raise ValueError(
            f"An image of shape {image.shape} cannot be compared with a target of shape "
            f"{target.shape}; both must have the same height, width and channels."
        )
