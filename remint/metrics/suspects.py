"""What counts as a copy, for the filter of an export, the snapshots of a training and the check.

An image is suspected where it lies nearer to one training image than real images do, in any space,
by its distance or by how much nearer that one is than the second. Real images that were not trained
on say how near that is; where few were held out, training images do, each against all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from remint.metrics.alignment import AlignedSpace
from remint.metrics.nearest import Neighbours
from remint.metrics.spaces import PixelSpace, Space

STATISTICS = ("distance", "ratio")
LEAST = 1e-6  # of a statistic, below which copies are equally near
Rule = tuple[str, str]  # space and statistic


@dataclass(frozen=True)
class Lookup:
    """Neighbours of N images in every space, by its name; the same images in each."""

    by_space: dict[str, Neighbours]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(next(iter(self.by_space.values())).nearest)

    def statistics(self) -> dict[Rule, np.ndarray]:
        """Return float64 [N] for each space and statistic; low is suspicious."""
        return {
            (name, which): neighbours.nearest if which == "distance" else neighbours.ratio
            for name, neighbours in self.by_space.items()
            for which in STATISTICS
        }


def look(spaces: Sequence[Space], images: np.ndarray) -> Lookup:
    """Find the training images nearest to uint8 [N, H, W, C] in every space."""
    return Lookup({space.name: space.neighbours(images) for space in spaces})


def look_among_training(spaces: Sequence[Space], members: np.ndarray) -> Lookup:
    """Find the nearest others of training images, named by int [N], in every space."""
    return Lookup({space.name: space.among_training(members) for space in spaces})


def pixel_spaces(training: np.ndarray, shift: float) -> list[Space]:
    """Return the spaces that need no network, for uint8 [M, H, W, C]; shift: share of the side."""
    return [PixelSpace(training, shift), AlignedSpace(training)]


@dataclass(frozen=True)
class Alarm:
    """An image is suspected where any statistic lies below its threshold."""

    thresholds: dict[Rule, float]

    def by_rule(self, lookup: Lookup) -> dict[Rule, np.ndarray]:
        """Return bool [N] for each space and statistic."""
        values = lookup.statistics()
        return {rule: values[rule] < limit for rule, limit in self.thresholds.items()}

    def in_space(self, lookup: Lookup, space: str) -> np.ndarray:
        """Return bool [N]: suspected by a rule of one space."""
        rules = self.by_rule(lookup).items()
        return np.any([flags for (name, _), flags in rules if name == space], axis=0)

    def __call__(self, lookup: Lookup) -> np.ndarray:
        """Return bool [N]: suspected by any rule."""
        return np.any(list(self.by_rule(lookup).values()), axis=0)

    def margins(self, lookup: Lookup) -> np.ndarray:
        """Return float64 [N]: the least statistic as a part of its threshold; suspected below 1."""
        values = lookup.statistics()
        parts = [
            np.divide(values[rule], limit, out=np.full(len(lookup), np.inf), where=limit > 0)
            for rule, limit in self.thresholds.items()
        ]
        return np.min(parts, axis=0)


def calibrate(real: Lookup, false_alarms: float) -> Alarm:
    """Set thresholds so that `false_alarms` of real images (one at least) are suspected at most.

    Each rule takes an equal part, as a quantile of the real images. Where that is less than an
    image a rule, those images are set aside that hold the thresholds down most, such as one that
    all but equals a training image, and the least of the others decide. Of other real images about
    one more a rule is suspected: measure the rate on others. A real image without any other to
    compare with sets no threshold above 0.
    """
    values = {rule: np.where(np.isfinite(v), v, 0.0) for rule, v in real.statistics().items()}
    allowed = max(1, int(false_alarms * len(real)))
    if allowed >= len(values):
        part = false_alarms / len(values)
        return Alarm({r: float(np.quantile(v, part, method="lower")) for r, v in values.items()})
    logs = np.log(np.maximum(np.array(list(values.values())), LEAST))  # [rules, N]
    kept = np.arange(len(real))
    for _ in range(min(allowed, len(real) - 2)):
        kept = np.delete(kept, _most_in_the_way(logs[:, kept]))
    return Alarm({rule: float(statistic[kept].min()) for rule, statistic in values.items()})


def _most_in_the_way(logs: np.ndarray) -> int:
    """Return the image without which the thresholds, the least of each row, rise most."""
    least = np.partition(logs, 1, axis=1)[:, :2]
    gains = np.zeros(logs.shape[1])
    np.add.at(gains, logs.argmin(axis=1), least[:, 1] - least[:, 0])
    return int(gains.argmax())
