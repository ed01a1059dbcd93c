"""Classical restoration: for every kind of damage one method of before the networks, by name.

The rows it gives answer "was a network needed?", so it gets the benefit of the doubt: masks, photon
counts and block sizes are known to it, and its one strength (a noise level, a blur's width) is the
best of a short list on sample pairs of the same kind and severity. In use, none of this is known.
Images are uint8 HWC, C 1 or 3.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from remint.metrics.pixels import psnr_score

TEMPLATE, SEARCH = 7, 21  # px, non-local means' patch and window (Buades et al. 2005)
MARGIN = 32  # px of mirrored border around an image before it is deconvolved
# Power of noise over power of signal that deconvolution reckons with: 20 dB at each frequency.
# Synthetic blur has no noise but rounding; without this floor the figure would praise that alone.
NOISE_TO_SIGNAL = 1e-2


@dataclass(frozen=True)
class Damage:
    """A damaged image, uint8 HWC, its recipe, and its mask: uint8 HW, 255 hole, or None."""

    image: np.ndarray
    recipe: Sequence[Mapping[str, Any]]
    mask: np.ndarray | None


@dataclass(frozen=True)
class Method:
    """apply: (damage, strength) -> uint8 HWC; strengths: those that tuning chooses from."""

    name: str
    apply: Callable[[Damage, float], np.ndarray]
    strengths: tuple[float, ...]


@dataclass(frozen=True)
class TunedMethod:
    """A method with the strength that did best on sample pairs."""

    method: Method
    strength: float

    def __call__(self, damage: Damage) -> np.ndarray:
        """Return the restored image, uint8 HWC."""
        return self.method.apply(damage, self.strength)


def tune(method: Method, pairs: Sequence[tuple[Damage, np.ndarray]]) -> TunedMethod:
    """Pick the strength with the highest mean PSNR over pairs of damage and target."""

    def mean_psnr(strength: float) -> float:
        scores = [psnr_score(method.apply(damage, strength), target) for damage, target in pairs]
        return float(np.mean(scores))

    return TunedMethod(method, max(method.strengths, key=mean_psnr))


def method_for(kind: str) -> Method | None:
    """Return the method that suits a kind of damage; None for `clean`, which needs none.

    A kind without an entry of its own (real damage, mixtures) gets Telea inpainting where a mask is
    known, then non-local means.
    """
    return None if kind == "clean" else METHODS.get(kind, INPAINTING_AND_MEANS)


def non_local_means(damage: Damage, strength: float) -> np.ndarray:
    """Average of similar patches (Buades et al., CVPR 2005); strength: h in levels."""
    return _means(damage.image, strength)


def anscombe_non_local_means(damage: Damage, strength: float) -> np.ndarray:
    """Non-local means where photon noise has unit variance; strength: h in standard deviations.

    Anscombe, Biometrika 1948; the inverse is Makitalo & Foi's closed form (IEEE TIP 2011, eq. 9).
    """
    photons = next((step["photons"] for step in damage.recipe if "photons" in step), None)
    if photons is None:
        return _means(damage.image, strength * 25.5)
    low, high = 2 * np.sqrt(3 / 8), 2 * np.sqrt(photons + 3 / 8)
    scale = 255 / (high - low)
    stable = 2 * np.sqrt(damage.image * (photons / 255) + 3 / 8)
    smooth = _means(_levels((stable - low) * scale), strength * scale)
    d = smooth / scale + low
    root = np.sqrt(3 / 2)
    counts = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8
    return _levels(counts * (255 / photons))


def median(damage: Damage, strength: float) -> np.ndarray:
    """Median of a square window; strength: its side in px, odd."""
    return _hwc(cv2.medianBlur(damage.image, int(strength)))


def bilateral(damage: Damage, strength: float) -> np.ndarray:
    """Average of near pixels of near values (Tomasi & Manduchi, ICCV 1998); strength: levels."""
    return _hwc(cv2.bilateralFilter(damage.image, 5, strength, 2.0))


def unsharp(damage: Damage, strength: float) -> np.ndarray:
    """Add the difference to a Gaussian blur of 1 px, times strength."""
    blurred = _hwc(cv2.GaussianBlur(damage.image, (0, 0), 1.0))
    return _levels(damage.image + strength * (damage.image.astype(np.float64) - blurred))


def wiener(damage: Damage, strength: float) -> np.ndarray:
    """Deconvolve a Gaussian blur: H / (H^2 + noise to signal) (Wiener 1949).

    strength: the blur's sigma in px, as one who does not know the kernel would guess it.
    """
    height, width = damage.image.shape[:2]
    margin = min(MARGIN, height - 1, width - 1)
    border = ((margin, margin), (margin, margin), (0, 0))
    padded = np.pad(damage.image.astype(np.float64), border, mode="reflect")
    transfer = _gaussian_transfer(strength, padded.shape)[:, :, None]
    inverse = transfer / (transfer**2 + NOISE_TO_SIGNAL)
    mean = padded.mean(axis=(0, 1))
    spectrum = np.fft.fft2(padded - mean, axes=(0, 1)) * inverse
    restored = np.fft.ifft2(spectrum, axes=(0, 1)).real + mean
    return _levels(restored[margin : margin + height, margin : margin + width])


def bicubic(damage: Damage, strength: float) -> np.ndarray:
    """Take the blocks' means and enlarge them bicubically (Keys 1981), then sharpen by strength."""
    height, width = damage.image.shape[:2]
    small = next((step for step in damage.recipe if step["operation"] == "there_and_back"), None)
    if small is None:
        return unsharp(damage, strength)
    size = (small["width"], small["height"])
    blocks = cv2.resize(damage.image, size, interpolation=cv2.INTER_AREA)
    large = _hwc(cv2.resize(blocks, (width, height), interpolation=cv2.INTER_CUBIC))
    return unsharp(Damage(large, (), None), strength)


def stretch(damage: Damage, strength: float) -> np.ndarray:
    """Map the percentiles strength and 100 - strength of each channel to black and white."""
    image = damage.image.astype(np.float64)
    low, high = np.percentile(image, [strength, 100 - strength], axis=(0, 1))
    return _levels((image - low) * (255 / np.maximum(high - low, 1.0)))


def flatten(damage: Damage, strength: float) -> np.ndarray:
    """Take away a share (strength) of the slow variation of light over the image."""
    sigma = max(damage.image.shape[:2]) / 8
    image = damage.image.astype(np.float64)
    light = _hwc(cv2.GaussianBlur(image, (0, 0), sigma))
    return _levels(image - strength * (light - light.mean(axis=(0, 1))))


def telea(damage: Damage, strength: float) -> np.ndarray:
    """Fill the masked pixels from their rim inwards (Telea 2004); strength: radius in px."""
    if damage.mask is None or not damage.mask.any():
        return damage.image
    return _hwc(cv2.inpaint(damage.image, damage.mask, strength, cv2.INPAINT_TELEA))


def telea_and_means(damage: Damage, strength: float) -> np.ndarray:
    """Telea inpainting, radius 3 px, then non-local means of h = strength levels."""
    return _means(telea(damage, 3), strength)


def telea_and_stretch(damage: Damage, strength: float) -> np.ndarray:
    """Telea inpainting, radius 3 px, then a stretch between percentiles."""
    return stretch(Damage(telea(damage, 3), (), None), strength)


def _means(image: np.ndarray, h: float) -> np.ndarray:
    pixels = np.ascontiguousarray(image)
    return _hwc(cv2.fastNlMeansDenoising(pixels, None, h, TEMPLATE, SEARCH))


def _gaussian_transfer(sigma: float, shape: tuple[int, ...]) -> np.ndarray:
    """Return the transfer function, float64 [H, W], of a Gaussian of sigma px."""
    down, right = np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])
    transfer: np.ndarray = np.exp(-2 * (np.pi * sigma) ** 2 * (down**2 + right**2))
    return transfer


def _hwc(image: np.ndarray) -> np.ndarray:
    """OpenCV drops the channel axis of grey images: put it back."""
    return image if image.ndim == 3 else image[:, :, None]


def _levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


_MEANS = Method("non-local means", non_local_means, (5, 10, 20, 35, 60, 90))
_MEDIAN = Method("median", median, (3, 5))
_WIENER = Method("Wiener deconvolution", wiener, (0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0))
_UNSHARP = Method("unsharp masking", unsharp, (0.1, 0.3, 0.6, 1.0, 1.5))
_BILATERAL = Method("bilateral filter", bilateral, (5, 10, 20, 40, 60))
_STRETCH = Method("percentile stretch", stretch, (0.0, 0.1, 0.5, 1.0, 2.0, 5.0))
_TELEA = Method("Telea inpainting", telea, (1, 3, 5))
INPAINTING_AND_MEANS = Method(
    "Telea inpainting where masked, non-local means", telea_and_means, (3, 7, 15, 30)
)
METHODS: Mapping[str, Method] = {
    "gaussian_noise": _MEANS,
    "speckle": _MEANS,
    "poisson": Method(
        "non-local means after Anscombe", anscombe_non_local_means, (0.3, 0.6, 0.9, 1.2, 1.6)
    ),
    "salt_and_pepper": _MEDIAN,
    "gaussian_blur": _WIENER,
    "defocus": _WIENER,
    "motion_blur": _UNSHARP,
    "pixelate": Method("bicubic enlargement", bicubic, (0.0, 0.2, 0.5, 1.0)),
    "downscale": _UNSHARP,
    "jpeg": _BILATERAL,
    "double_jpeg": _BILATERAL,
    "webp": _BILATERAL,
    "contrast": _STRETCH,
    "fading": _STRETCH,
    "stains": Method("flattened light", flatten, (0.1, 0.25, 0.5, 0.75, 1.0)),
    "scratches": _TELEA,
    "text": _TELEA,
    "ink": _TELEA,
    "holes": _TELEA,
    "box_holes": _TELEA,
    "stroke_holes": _TELEA,
    "old_photo": Method(
        "Telea inpainting, percentile stretch", telea_and_stretch, (0.0, 0.5, 1.0, 2.0, 5.0)
    ),
}
