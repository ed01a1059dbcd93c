"""The arms of the experiment: what each one trains its classifier on."""

from dataclasses import dataclass
from typing import Literal

Added = Literal["nothing", "synthetic", "shuffled", "duplicates"]
Lesson = Literal["plain", "classical"]  # what tells how many steps it takes to learn
BALANCED = ("real_oversampled", "real_weighted")  # what uneven classes get without any minting
ALONE = ("synthetic_raw", "synthetic", "synthetic_soft")  # minted images and nothing else


@dataclass(frozen=True)
class Arm:
    """What a classifier learns from.

    title: for people. real: which real images, all or as many as were exported. added: to them.
    baseline: the arm it is compared with, none for the baselines. alone: without real images, what
    the minted ones are: exported, or raw, as they came. soft: the labels are the probabilities of
    the export's classifier. balance: how classes of few images are made to count as much.
    """

    title: str
    baseline: str | None = None
    real: Literal["none", "all", "as_many"] = "all"
    added: Added = "nothing"
    augment: Literal["none", "classical"] = "none"
    raw: bool = False
    soft: bool = False
    balance: Literal["none", "oversampled", "weighted"] = "none"

    @property
    def minted(self) -> bool:
        """Say whether it needs synthetic images (duplicates take their number from them)."""
        return self.added in ("synthetic", "shuffled") or self.real == "as_many"

    @property
    def lesson(self) -> Lesson:
        """Return by which learning curve of real images its number of steps is chosen."""
        return "classical" if self.augment == "classical" else "plain"


ARMS = {
    "real": Arm("real"),
    "real_classical": Arm("real + classical augmentation", "real", augment="classical"),
    "real_synthetic": Arm("real + synthetic", "real", added="synthetic"),
    "real_classical_synthetic": Arm(
        "real + classical + synthetic", "real_classical", added="synthetic", augment="classical"
    ),
    "real_as_many": Arm("real, as many as exported", real="as_many"),
    "synthetic_raw": Arm(
        "synthetic only, unfiltered", "real_as_many", real="none", added="synthetic", raw=True
    ),
    "synthetic": Arm("synthetic only, filtered", "real_as_many", real="none", added="synthetic"),
    "synthetic_soft": Arm(
        "synthetic only, soft labels (distillation)",
        "real_as_many",
        real="none",
        added="synthetic",
        soft=True,
    ),
    "real_as_many_soft": Arm(
        "real, as many, the same soft labels", "real_as_many", real="as_many", soft=True
    ),
    "real_oversampled": Arm(
        "real + classical, every class equally often",
        "real_classical",
        augment="classical",
        balance="oversampled",
    ),
    "real_weighted": Arm(
        "real + classical, classes weighted",
        "real_classical",
        augment="classical",
        balance="weighted",
    ),
    "real_duplicates": Arm("real + duplicates (budget control)", "real", added="duplicates"),
    "real_shuffled": Arm("real + synthetic, labels shuffled", "real", added="shuffled"),
}


@dataclass(frozen=True)
class Comparison:
    """arm against baseline; onto: what the synthetic images are added to, in words."""

    arm: str
    baseline: str
    onto: str


# What a verdict is given on, by the name that params.yaml uses for the primary one.
COMPARISONS = {
    "plain": Comparison("real_synthetic", "real", "real images"),
    "classical": Comparison(
        "real_classical_synthetic",
        "real_classical",
        "real images with classical augmentation",
    ),
}
