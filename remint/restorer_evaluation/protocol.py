"""The protocol by which published Gaussian denoising figures are made, to the letter.

Float image in [0, 1]; a generator seeded with 0 anew for every image; N(0, (sigma / 255)^2) added
and neither clipped nor rounded; the output clipped, times 255, rounded to uint8; PSNR on uint8 in
float64 with peak 255, no border cut, all channels; the mean over images of per-image PSNR. Grey
from colour is full-range BT.601 luma. Source: the evaluation of DnCNN, FFDNet and DRUNet (Zhang et
al., arXiv 1608.03981, 1710.04026, 2008.13751).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from remint.images import imagefile
from remint.metrics.pixels import PEAK, psnr_score
from remint.restorer.tiling import Network

NAME = "gaussian-denoising"
SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".pgm", ".ppm")


@dataclass(frozen=True)
class ProtocolFigure:
    """PSNR in dB of one image: of the noisy input, unclipped, and of the output."""

    name: str
    psnr_input: float
    psnr: float


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder by name; raises ValueError where there are none."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; name the folder that holds the test images.")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"{folder} holds no images; needed are files such as 01.png.")
    return files


def read(path: Path, channels: int) -> np.ndarray:
    """Return uint8 HWC of 1 or 3 channels as `imagefile` decodes it, grey as full-range luma.

    Raises ValueError for a file that is no image, and for grey files where colour is needed.
    """
    try:
        pixels = imagefile.read(path)
    except imagefile.ImageFileError as error:
        raise ValueError(f"{path} {error}; take it away.") from error
    if channels == 3 and pixels.shape[2] == 1:
        raise ValueError(f"{path} is grey; a model of 3 channels is measured on colour.")
    return imagefile.to_channels(pixels, channels)


def add_noise(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return float64 HWC, image / 255 plus noise of sigma / 255 from seed 0, not clipped.

    RandomState(0) gives what numpy.random.seed(0) and numpy.random.normal give, without touching
    the global state.
    """
    noise = np.random.RandomState(0).normal(0, sigma / PEAK, image.shape)
    return image / PEAK + noise


def denoise(restorer: Network, noisy: np.ndarray) -> np.ndarray:
    """Return uint8 HWC from float HWC around [0, 1], the whole image at once."""
    planes = torch.from_numpy(noisy.transpose(2, 0, 1)[None]).float()
    output = (restorer(planes * 2.0 - 1.0).float().cpu() + 1.0) / 2.0
    pixels = output[0].clamp(0.0, 1.0).mul(PEAK).round().numpy()
    return pixels.astype(np.uint8).transpose(1, 2, 0)


def gaussian_denoising(restorer: Network, folder: Path, sigma: float) -> Iterator[ProtocolFigure]:
    """Yield the figures of each image of a folder, in order of name; sigma in levels of 0..255."""
    if sigma <= 0:
        raise ValueError(f"sigma is {sigma}; the protocol needs 15, 25, 50 or another above 0.")
    for path in image_files(folder):
        image = read(path, restorer.channels)
        noisy = add_noise(image, sigma)
        output = denoise(restorer, noisy)
        yield ProtocolFigure(path.name, psnr_score(noisy * PEAK, image), psnr_score(output, image))
