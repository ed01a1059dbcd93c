"""Differentiable augmentation of what a discriminator sees: float32 N,C,H,W in [-1, 1], kept so.

DiffAugment (Zhao et al., arXiv 2006.10738): always on, the same kinds on reals and fakes.
ADA (Karras et al., arXiv 2006.06676): each kind with a probability that follows overfitting.
`draws` are uniform [N, LANES]: image n's augmentation depends on row n alone.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F

AugmentName = Literal["none", "diffaugment", "ada"]

LANES = 16
# Length of a batch's adjustment of p: p moves by 1 in 500,000 images (arXiv 2006.06676, 3.2)
ADA_SPEED = 1 / 500_000
ADA_TARGET = 0.6
ADA_LIMIT = 0.85  # beyond it augmentations leak into what is generated


def adapted(probability: float, sign_mean: float, images: int) -> float:
    """Return ADA's next p: up while E[sign D(real)] is over its target, 0 to 0.85 (equation 1)."""
    step = math.copysign(images * ADA_SPEED, sign_mean - ADA_TARGET)
    return min(ADA_LIMIT, max(0.0, probability + step))


def diffaugment(
    images: torch.Tensor, draws: torch.Tensor, background: torch.Tensor
) -> torch.Tensor:
    """Translate by up to 1/8, cut out half, jitter brightness, contrast, saturation (2006.10738).

    background: float [C] in [-1, 1], the set's own, where pixels leave or are cut.
    """
    images = _brightness(images, draws[:, 0] - 0.5)
    images = _saturation(images, 2 * draws[:, 1])
    images = _contrast(images, draws[:, 2] + 0.5)
    shift = torch.stack([draws[:, 3], draws[:, 4]], dim=1) * 0.25 - 0.125
    images = _moved(images, _affine(shift=shift), background)
    return _cutout(images, draws[:, 5:7], background)


def ada(
    images: torch.Tensor, draws: torch.Tensor, probability: float, background: torch.Tensor
) -> torch.Tensor:
    """Flip, turn, shift, scale, rotate, stretch and re-light, each with its own probability.

    Geometry and colour of arXiv 2006.06676, appendix B, figures 9 and 10, without luma flip and
    hue rotation; geometry as one resampling.
    """

    def chosen(lane: int) -> torch.Tensor:
        """1 where the kind applies; one lane decides and, rescaled, gives the value."""
        return (draws[:, lane] < probability).to(images.dtype)

    def value(lane: int) -> torch.Tensor:
        return (draws[:, lane] / max(probability, 1e-9)).clamp(1e-6, 1 - 1e-6)

    def normal(lane: int, std: float) -> torch.Tensor:
        return std * torch.special.ndtri(value(lane)) * chosen(lane)

    flip = 1 - 2 * chosen(0) * (value(0) < 0.5)
    turn = (value(1) * 4).floor() * chosen(1) * (math.pi / 2)
    shift = torch.stack([(value(i) - 0.5) * 0.25 * chosen(i) for i in (2, 3)], dim=1)
    scale = torch.exp2(normal(4, 0.2))
    angle = (value(5) - 0.5) * 2 * math.pi * chosen(5) + turn
    stretch = torch.exp2(normal(6, 0.2))
    matrix = _affine(angle, torch.stack([flip * scale * stretch, scale / stretch], 1), shift)
    images = _moved(images, matrix, background)
    images = _brightness(images, normal(7, 0.2))
    images = _contrast(images, torch.exp2(normal(8, 0.5)))
    return _saturation(images, torch.exp2(normal(9, 1.0)))


def _column(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None, None]


def _brightness(images: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    return images + _column(amount)


def _contrast(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * _column(factor) + mean


def _saturation(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    mean = images.mean(dim=1, keepdim=True)  # grey images have nothing to saturate
    return (images - mean) * _column(factor) + mean


def _affine(
    angle: torch.Tensor | None = None,
    scale: torch.Tensor | None = None,
    shift: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return [N, 2, 3] from output to input coordinates; shift in parts of the side."""
    given = next(t for t in (angle, scale, shift) if t is not None)
    zeros, ones = given.new_zeros(len(given)), given.new_ones(len(given), 2)
    angle = zeros if angle is None else angle
    inverse = 1 / (ones if scale is None else scale)
    move = 2 * (ones * 0 if shift is None else shift)
    cos, sin = torch.cos(angle), torch.sin(angle)
    top = torch.stack([cos * inverse[:, 0], sin * inverse[:, 0], move[:, 0]], dim=1)
    low = torch.stack([-sin * inverse[:, 1], cos * inverse[:, 1], move[:, 1]], dim=1)
    return torch.stack([top, low], dim=1)


def _moved(images: torch.Tensor, matrix: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    fill = background.to(images).view(1, -1, 1, 1)
    grid = F.affine_grid(matrix.to(images.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(images - fill, grid, padding_mode="zeros", align_corners=False) + fill


def _cutout(images: torch.Tensor, centres: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    """Fill a square of half the side about centres [N, 2] in 0..1."""
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device) / height
    columns = torch.arange(width, device=images.device) / width
    near_row = (rows[None] - centres[:, :1]).abs() < 0.25
    near_column = (columns[None] - centres[:, 1:]).abs() < 0.25
    hole = (near_row[:, None, :, None] & near_column[:, None, None, :]).to(images.dtype)
    return images * (1 - hole) + background.to(images).view(1, -1, 1, 1) * hole
