"""Where the images of a study come from: a clean set, and what its generator minted."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from remint.classifier.train import Classifier
from remint.images.imageset import ImageSet
from remint.images.labelled import Labelled, check_alike, joined, read
from remint.images.withheld import REJECTED, TEACHER
from remint.utility.training_sets import Case


@dataclass(frozen=True)
class Origin:
    """A clean set, and the synthetic set of a generator that was trained on it.

    withheld: the folder of what the export kept back; None where nobody has it.
    """

    clean: ImageSet
    synthetic: ImageSet
    withheld: Path | None = None

    def trained_on(self) -> str | None:
        """Return the fingerprint of the set its generator saw; None where that is not recorded."""
        recorded: str | None = self.synthetic.metadata.get("synthetic", {}).get("data")
        return recorded

    def minted_by(self) -> dict[str, str]:
        """Return the generator's fingerprint under its name; nothing where it is not recorded."""
        recorded = self.synthetic.metadata.get("synthetic", {}).get("model")
        return {"generator": recorded} if recorded else {}

    def check(self) -> None:
        """Raise ValueError where the classes differ, or the generator saw another set."""
        check_alike(self.clean, self.synthetic)
        if self.trained_on() not in (None, self.clean.fingerprint):
            raise ValueError(
                f"{self.synthetic.path} was minted by a generator that was trained on another set "
                f"than {self.clean.path}; what it saw may be in the test split: mint it again."
            )

    def case(self, fraction: str, real: Labelled) -> Case:
        """Return the images of all arms: exported, as they were minted, and the teacher's labels.

        real: the training images of the clean set.
        """
        minted = read(self.synthetic)
        if self.withheld is None:
            return Case(fraction, real, minted)
        raw = unfiltered(minted, ImageSet(self.withheld / REJECTED))
        if not (self.withheld / TEACHER).exists():  # of an export that looked at no real image
            return Case(fraction, real, minted, raw)
        teacher = Classifier.load(self.withheld / TEACHER)
        soft = teacher.probabilities(real.images)
        return Case(fraction, replace(real, soft=soft), minted, raw)


def unfiltered(kept: Labelled, rejected: ImageSet) -> Labelled:
    """Return, of each class, as many images as were kept, the first that were minted.

    kept: in the order of minting; rejected: with the column `attempt`, images of the class minted
    before. Whoever takes the place of a rejected image came later and is left out.
    """
    frame = rejected.frame()
    parts = [kept.take(np.zeros(0, np.int64))]
    for label in np.unique(kept.labels):
        members = np.flatnonzero(kept.labels == label)
        early = (frame["label"] == label) & (frame["attempt"] < len(members))
        rows = frame.loc[early, "position"].tolist()
        parts.append(kept.take(members[: len(members) - len(rows)]))
        parts.append(_at(rejected, rows, int(label), kept.images.shape[1:]))
    return joined(parts)


def _at(source: ImageSet, rows: list[int], label: int, shape: tuple[int, ...]) -> Labelled:
    read_rows = [source.at(row) for row in rows]
    images = np.array([image for _, image in read_rows], np.uint8).reshape(-1, *shape)
    return Labelled(images, np.full(len(rows), label), tuple(row["id"] for row, _ in read_rows))
