"""Does a snapshot teach? A classifier trained on minted images alone, tried on held-out reals.

The classification accuracy score (CAS, arXiv 1905.10887) at a size that training can afford.
"""

import numpy as np

from remint.classifier.train import ClassifierConfig, train_classifier
from remint.generator.data import LabelledSource, class_numbers
from remint.generator.generator import Minter
from remint.images.imageset import ImageSet

IMAGES = 10_000  # a side, at most
SEED = 0


class Probe:
    """Held-out images with labels, and what a classifier of as many real images makes of them."""

    def __init__(
        self,
        source: LabelledSource,
        clean: ImageSet,
        config: ClassifierConfig,
        device: str = "cpu",
    ) -> None:
        self.config, self.classes, self.device = config, len(source.class_names), device
        held = clean.frame("val")
        held = held.iloc[spread(len(held), IMAGES)]
        self.held = np.stack([clean.at(int(p))[1] for p in held["position"]])
        self.truth = class_numbers(held["label"], self.classes, str(clean.path))
        members = spread(len(source), IMAGES)
        self.labels = source.labels[members]
        self.real_accuracy = self._accuracy(source.pixels(members))

    def _accuracy(self, images: np.ndarray) -> float:
        lesson = images, self.labels, self.classes, self.config
        classifier = train_classifier(*lesson, SEED, self.device)
        return float((classifier.probabilities(self.held).argmax(axis=1) == self.truth).mean())

    def score(self, minter: Minter) -> dict[str, float]:
        """Return the accuracy after minted images alone, and how many points real ones add."""
        accuracy = self._accuracy(minter.mint(self.labels, np.arange(len(self.labels))))
        return {
            "probe_accuracy": accuracy,
            "probe_gap_points": 100 * (self.real_accuracy - accuracy),
        }


def spread(total: int, most: int) -> np.ndarray:
    """Return up to `most` of the places 0..total - 1, evenly spread."""
    return np.linspace(0, total - 1, min(most, total)).astype(int)
