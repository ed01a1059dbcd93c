"""A space for textures: how well an image matches a training image once it is moved over it.

Phase correlation (Kuglin & Hines 1975) with the matched filter for copies under white noise: the
frequencies of an image are weighted down by how strong they usually are and by the noise, so that
what all images share counts little and what one image alone has counts much. Averaging to small
pixels wipes out fine texture; here it is what a copy is known by.
"""

import cv2
import numpy as np
import torch

from remint.metrics.nearest import Neighbours, nearest_rows
from remint.metrics.spaces import TWO, thumbnails

SIDE = 64  # px; larger images are averaged down to it
NOISE = 10.0  # levels, standard deviation of the noise under which copies are looked for
LOWEST = 16  # frequencies on each axis whose magnitudes choose candidates
CANDIDATES = 16  # training images aligned: nearest by magnitudes, and as many by thumbnails
LEAST = 1e-3  # correlation below which nothing is told apart
STRIP = 64


class AlignedSpace:
    """Noise-to-signal ratio under which the image would be a moved copy: sqrt(1 / c^2 - 1).

    c: the highest correlation over all shifts, of grey values under a Hann window. A copy with
    white noise as strong as the weighted signal lies at 1. Images without structure lie far from
    all.
    """

    name = "aligned"
    unit = "noise to signal, aligned"

    def __init__(self, training: np.ndarray) -> None:
        """training: uint8 [M, H, W, C]."""
        self._images, self._thumbnails = training, thumbnails(training)
        height, width = _grey(training[:1]).shape[1:]
        window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
        self._window = torch.from_numpy(window.astype(np.float32))
        noise = NOISE**2 * self._window.square().sum()
        power = torch.zeros(height, width // 2 + 1)
        for strip in _strips(len(training)):
            power += self._raw(training[strip]).abs().square().sum(0)
        self._weights = (power / len(training) + noise).rsqrt()
        parts = [
            self._magnitudes(self._spectra(training[strip])) for strip in _strips(len(training))
        ]
        self._known = np.concatenate(parts)

    def neighbours(self, images: np.ndarray) -> Neighbours:
        """Find the two nearest training images of uint8 [N, H, W, C]."""
        return self._search(images, np.full(len(images), -1))

    def among_training(self, members: np.ndarray) -> Neighbours:
        """Find the two nearest others of training images, named by int [N]."""
        return self._search(self._images[members], members)

    def _search(self, images: np.ndarray, own: np.ndarray) -> Neighbours:
        parts = [self._few(images[strip], own[strip]) for strip in _strips(len(images))]
        distances, indices = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Neighbours(distances, indices)

    def _few(self, images: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        spectra = self._spectra(images)
        by_magnitude = nearest_rows(self._magnitudes(spectra), self._known, CANDIDATES, own)
        by_thumbnail = nearest_rows(thumbnails(images), self._thumbnails, CANDIDATES, own)
        candidates = np.concatenate([by_magnitude.indices, by_thumbnail.indices], axis=1)
        named, places = np.unique(candidates, return_inverse=True)
        known = self._spectra(self._images[named])
        distances, indices = [], []
        for spectrum, members, at, banned in zip(
            spectra, candidates, places.reshape(candidates.shape), own, strict=True
        ):
            rows, first = np.unique(members, return_index=True)
            values = self._distances(spectrum, known[at[first]])
            values[rows == banned] = np.inf
            order = np.argsort(values, kind="stable")[:TWO]
            distances.append(values[order])
            indices.append(rows[order])
        return np.array(distances), np.array(indices)

    def _distances(self, spectrum: torch.Tensor, known: torch.Tensor) -> np.ndarray:
        """Return float64 [K]: the distances of one spectrum to [K, H, W / 2 + 1]."""
        matched = torch.fft.irfft2(spectrum * known.conj(), s=self._window.shape)
        highest = matched.amax((1, 2)).double().numpy().clip(LEAST, 1.0)
        return np.sqrt(1.0 / highest**2 - 1.0)

    def _raw(self, images: np.ndarray) -> torch.Tensor:
        """Return spectra of windowed grey values without their mean, complex [N, H, W / 2 + 1]."""
        grey = torch.from_numpy(_grey(images))
        mean = (grey * self._window).sum((1, 2), keepdim=True) / self._window.sum()
        return torch.fft.rfft2((grey - mean) * self._window)

    def _spectra(self, images: np.ndarray) -> torch.Tensor:
        """Return weighted spectra whose correlation with themselves is 1."""
        weighted = self._raw(images) * self._weights
        pixels = torch.fft.irfft2(weighted, s=self._window.shape)
        return weighted / pixels.square().sum((1, 2), keepdim=True).sqrt().clamp(min=1e-6)

    def _magnitudes(self, spectra: torch.Tensor) -> np.ndarray:
        """Return float32 [N, D] of length 1: they hardly change when an image is moved."""
        low = torch.cat([spectra[:, :LOWEST, :LOWEST], spectra[:, 1 - LOWEST :, :LOWEST]], dim=1)
        flat = low.abs().flatten(1)
        return (flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-6)).numpy()


def _strips(count: int) -> list[slice]:
    return [slice(start, start + STRIP) for start in range(0, count, STRIP)]


def _grey(images: np.ndarray) -> np.ndarray:
    """Return float32 [N, H, W], the mean of the channels, averaged down to 64 px at most."""
    grey = images.mean(axis=3, dtype=np.float32)
    side = max(grey.shape[1:])
    if side <= SIDE:
        return grey
    size = tuple(max(2, round(n * SIDE / side)) for n in grey.shape[:0:-1])
    return np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in grey])
