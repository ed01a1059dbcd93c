"""Scores of a generator's snapshots while it trains, and signs of failure."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Le

from remint.classifier.train import ClassifierConfig
from remint.core.ranges import Images, Share, Weight
from remint.generator.data import LabelledSource, class_numbers
from remint.generator.generator import Minter
from remint.generator.probe import Probe, spread
from remint.images.imageset import ImageSet
from remint.metrics.kernel import squared_mmd
from remint.metrics.spaces import thumbnails
from remint.metrics.suspects import calibrate, look, look_among_training, pixel_spaces
from remint.networks import efflite

SIDE = 64  # px at which features are taken: a ranking within a run needs no more, and is 12x faster
BATCH = 64
SEARCHED = 20_000  # training images at most among which copies are looked for
REFERENCE = 400  # of them, whose nearest others say how near real images lie
FALSE_ALARMS = 0.01  # of real images
SHIFT = 0.08  # of the side, under which a copy is found


@dataclass(frozen=True)
class SnapshotConfig:
    """How snapshots are scored, and what counts as failure.

    every: images between snapshots; images: of a score, on either side; collapse_limit: diversity
    of the minted over that of the real, below which the run has collapsed; copy_share_limit: share
    of images suspected as copies (remint.metrics.suspects), above which it copies;
    overfit_limit: mean sign of D on train minus on held-out reals, above which D has memorised;
    probe: the classifier that a snapshot's images alone must teach; null: none. select: by what
    the best snapshot is chosen: the lowest KID, or the smallest gap of the probe.
    """

    every: Images
    images: Annotated[int, Ge(20), Le(10**7)]
    collapse_limit: Weight
    copy_share_limit: Share
    overfit_limit: Annotated[float, Ge(-2), Le(2)]
    probe: ClassifierConfig | None
    select: Literal["kid", "probe"]

    def __post_init__(self) -> None:
        if self.select == "probe" and self.probe is None:
            raise ValueError(
                "snapshots: found select probe and no probe, needed one; or select kid"
            )


class SnapshotScores:
    """Fixed latents, held-out reals and their features; the val split, or a share of train."""

    def __init__(
        self, source: LabelledSource, clean: ImageSet, config: SnapshotConfig, device: torch.device
    ) -> None:
        self.config, self.source = config, source
        held = clean.frame("val")
        if len(held) < 20:
            raise ValueError(
                f"{clean.path}: found {len(held)} validation images, needed 20 or more to choose "
                "between snapshots; raise ingest.shares.val"
            )
        chosen = held.iloc[spread(len(held), config.images)]
        self.held = np.stack([clean.at(int(p))[1] for p in chosen["position"]])
        self.labels = class_numbers(chosen["label"], len(clean.class_names), str(clean.path))
        members = spread(len(source), 2000)
        self.train, self.train_labels = source.pixels(members), source.labels[members]
        searched = source.pixels(spread(len(source), SEARCHED))
        self.spaces = pixel_spaces(searched, SHIFT)
        reference = look_among_training(self.spaces, spread(len(searched), REFERENCE))
        self.alarm = calibrate(reference, FALSE_ALARMS)
        self.network = efflite.load(str(device))
        self.features = self._features(self.held)
        self.held_diversity = diversity(self.held, self.labels)
        asked = config.probe if len(clean.class_names) > 1 else None
        self.probe = Probe(source, clean, asked, str(device)) if asked else None

    @torch.inference_mode()
    def _features(self, images: np.ndarray) -> np.ndarray:
        device = next(self.network.parameters()).device
        parts = [np.zeros((0, efflite.DIMENSIONS), np.float32)]
        for start in range(0, len(images), BATCH):
            pixels = torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2).to(device)
            seen = efflite.preprocess(pixels.float() / 127.5 - 1, SIDE)
            parts.append(self.network(seen).cpu().numpy())
        return np.concatenate(parts)

    def score(self, minter: Minter) -> dict[str, float]:
        """Return all figures of one snapshot."""
        fakes = minter.mint(self.labels, np.arange(len(self.labels)))
        score = {"selection_kid": squared_mmd(self.features, self._features(fakes))}
        taught = self.probe.score(minter) if self.probe else {}
        return score | self._signs(minter, fakes) | taught

    @property
    def criterion(self) -> str:
        """The figure whose lowest value is chosen; a set without labels has no probe."""
        chosen = self.config.select == "probe" and self.probe is not None
        return "probe_gap_points" if chosen else "selection_kid"

    def signs(self, minter: Minter) -> dict[str, float]:
        """Return the cheap figures by which `failure` is told."""
        return self._signs(minter, minter.mint(self.labels, np.arange(len(self.labels))))

    def _signs(self, minter: Minter, fakes: np.ndarray) -> dict[str, float]:
        figures = {
            "diversity_ratio": diversity(fakes, self.labels) / max(self.held_diversity, 1e-9),
            "copy_share": float(self.alarm(look(self.spaces, fakes)).mean()),
        }
        held = minter.logits(self.held, self.labels)
        train = minter.logits(self.train, self.train_labels)
        if held is not None and train is not None:
            figures["overfit_gap"] = float(np.sign(train).mean() - np.sign(held).mean())
        return figures

    def failure(self, figures: dict[str, float], most_diverse: float) -> str | None:
        """Say in words which limit a snapshot breaks, or None.

        most_diverse: highest diversity_ratio so far; a generator that only begins is no collapse.
        """
        limits = self.config
        if figures["diversity_ratio"] < limits.collapse_limit <= most_diverse:
            return (
                f"the generator collapsed: its images differ {figures['diversity_ratio']:.2f} "
                f"times as much as real ones, under the limit of {limits.collapse_limit}"
            )
        if figures["copy_share"] > limits.copy_share_limit:
            return (
                f"the generator copies: {figures['copy_share']:.0%} of its images lie as near to "
                f"one training image as {FALSE_ALARMS:.0%} of real ones do, over the limit of "
                f"{limits.copy_share_limit:.0%}"
            )
        if figures.get("overfit_gap", 0.0) > limits.overfit_limit:
            return (
                f"the discriminator memorised: its sign on training images is "
                f"{figures['overfit_gap']:.2f} above that on held-out ones, over the limit of "
                f"{limits.overfit_limit}"
            )
        return None


def diversity(images: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean distance between images of one class, over the classes with two or more."""
    means = []
    for label in np.unique(labels):
        small = thumbnails(images[labels == label])
        if len(small) > 1:
            means.append(float(torch.pdist(torch.from_numpy(small)).mean()))
    return float(np.mean(means)) if means else 0.0
