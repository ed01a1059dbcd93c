"""Budgets and schedules, both counted in images seen."""

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Le

from remint.core.ranges import Images


@dataclass(frozen=True)
class Budget:
    """When a phase ends: after so many images, or so many minutes, whichever comes first.

    Only a budget of images makes two runs bit-identical; minutes depend on the machine.
    """

    images: Images | None
    minutes: Annotated[float, Gt(0), Le(10**7)] | None

    def __post_init__(self) -> None:
        if self.images is None and self.minutes is None:
            raise ValueError("budget: found neither images nor minutes, needed at least one")

    def share(self, images: int, minutes: float) -> float:
        """Return how much of the budget is spent, 0..1."""
        by_images = _share(images, self.images)
        by_minutes = _share(minutes, self.minutes)
        return min(1.0, max(by_images, by_minutes))


def _share(spent: float, limit: float | None) -> float:
    if limit is None:
        return 0.0
    return spent / limit


def cosine(start: float, end: float, share: float) -> float:
    """Go from start to end along half a cosine (SGDR, arXiv 1608.03983, equation 5); share 0..1."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))


def ema_weight(batch: int, half_life: float, images_seen: int, ramp: float = 0.05) -> float:
    """Return the old average's weight after a batch: 0.5 ** (batch / half-life).

    The half-life is at most ramp times the images seen, so that the first, random weights fade
    (StyleGAN2-ADA, arXiv 2006.06676, appendix C; R3GAN, arXiv 2501.05441, appendix D).
    """
    life = min(half_life, ramp * images_seen)
    return 0.5 ** (batch / life) if life > 0 else 0.0
