"""Sharpening by what a network saw: detail of ever finer kinds, each amplified as a place asks.

Deconvolution by repeated detail, as in van Cittert's iteration (Zeitschrift fuer Physik 69, 1931):
with D = image - smoothed image, the inverse of a Gaussian blur is nearly 1 + g1 D + g2 D^2 + ..
with no negative g. Here the gains are predicted.
"""

import torch
import torch.nn.functional as F
from torch import nn

HIDDEN = 32  # channels
REACH = 7  # places around each whose features decide: a picture of 28 px is sharpened as one
STEEPNESS = 4.0  # of what keeps gains above 0
FIRST = -0.3  # whose gain is 0.07


class Sharpening(nn.Module):
    """Tell what to add to an image: its own detail, times gains that features ask for.

    features: their channels; orders: how many powers of D. Gains are never negative, since
    smoothing is the work of what comes before, and follow from the features' direction alone: an
    image that is twice as bright is sharpened by twice as much.
    """

    def __init__(self, features: int, orders: int) -> None:
        super().__init__()
        self.direction = nn.Linear(features, HIDDEN)
        self.gains = nn.Linear(HIDDEN, orders)
        nn.init.zeros_(self.gains.weight)
        nn.init.constant_(self.gains.bias, FIRST)

    def forward(self, image: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return float32 N,C,H,W for float32 of that shape and features N,F,H/k,W/k."""
        gains = F.interpolate(self._gains(features), image.shape[2:], mode="bilinear")
        detail, added = image, torch.zeros_like(image)
        for gain in gains.split(1, dim=1):
            detail = detail - smoothed(detail)
            added = added + gain * detail
        return added

    def _gains(self, features: torch.Tensor) -> torch.Tensor:
        """Return float32 N,orders,h,w for features N,F,h,w."""
        around = _mean_around(_mean_around(features.float(), 2), 3).movedim(1, 3)
        direction = F.normalize(around, dim=3) * around.shape[3] ** 0.5
        gains = self.gains(F.relu(self.direction(direction)))
        return F.softplus(gains.float(), beta=STEEPNESS).movedim(3, 1)


def smoothed(image: torch.Tensor) -> torch.Tensor:
    """Return N,C,H,W convolved with the binomial kernel 1 4 6 4 1 along rows and columns."""
    return _sixteenfold(_sixteenfold(image).mT).mT / 256


def _sixteenfold(image: torch.Tensor) -> torch.Tensor:
    """Return the sum along rows under the weights 1 4 6 4 1."""
    wide = F.pad(image, (2, 2, 0, 0), mode="replicate")
    outer = wide[..., :-4] + wide[..., 4:]
    inner = wide[..., 1:-3] + wide[..., 3:-1]
    return torch.add(torch.add(outer, inner, alpha=4), image, alpha=6)


def _mean_around(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Return the mean over up to 2 REACH + 1 places along dim 2 or 3, fewer at the edges."""
    down, right = (REACH, 0) if dim == 2 else (0, REACH)
    window = 2 * down + 1, 2 * right + 1
    return F.avg_pool2d(x, window, 1, (down, right), count_include_pad=False)
