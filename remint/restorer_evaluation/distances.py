"""Distances between restored and real images: which rows are compared, and what may be said.

The reference are clean images of train, so that no restored image meets its own target; `floor` is
the same figure for clean held-out images: what a perfect restorer would get at this N.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from remint.core.randomness import philox_key
from remint.images.imageset import ImageSet
from remint.metrics.features import Extractor, cached_features
from remint.metrics.frechet import frechet_distance_of_features
from remint.metrics.kernel import kernel_distance
from remint.metrics.pixels import CLEAN
from remint.metrics.validity import FD_FIGURE, FD_TREND, KID_LEAST
from remint.networks import efflite

# Images a side below which a figure is noise: KID; a Frechet distance as a trend, as a figure.


@dataclass(frozen=True)
class Sets:
    """The sets that are compared, and the split that was restored."""

    clean: ImageSet
    corrupted: ImageSet
    restored: ImageSet
    split: str


@dataclass(frozen=True)
class Comparison:
    """figures: by name, those that are valid at this N; notes: what is absent, and why."""

    figures: dict[str, float]
    notes: list[str]


class SetDistances:
    """Distances of restored and damaged images to clean ones in one feature space."""

    def __init__(self, sets: Sets, extractor: Extractor, cache: Path, seed: int) -> None:
        self._sets, self._extractor, self._cache, self._seed = sets, extractor, cache, seed
        clean = sets.clean.frame()
        self._reference = self._shuffled(clean[clean["split"] == "train"], "id")
        self._held_out = self._shuffled(clean[clean["split"] == sets.split], "id")
        self._restored = sets.restored.frame().set_index("id")["position"]

    def compare(self, rows: pd.DataFrame, images: int, what: str) -> Comparison:
        """Compare up to `images` of the corrupted rows, restored and as they were.

        rows: part of the corrupted set's frame; what: names them in notes.
        """
        chosen = self._spread(rows).head(images)
        count = min(len(chosen), len(self._reference))
        if count < KID_LEAST:
            return Comparison({}, [self._too_few(what, images, len(chosen))])
        return self._compared(chosen.head(count), what)

    def _compared(self, rows: pd.DataFrame, what: str) -> Comparison:
        count, name = len(rows), self._extractor.name
        real = self._clean(self._reference.head(count))
        damaged = self._features(self._sets.corrupted, rows, rows["position"])
        places = self._restored.loc[rows["id"]].to_numpy()
        restored = self._extractor(self._sets.restored.at(int(p))[1] for p in places)
        figures = {"feature_images": float(count)}
        figures |= _figures(name, "", real, restored) | _figures(name, "input", real, damaged)
        if len(self._held_out) >= count:
            figures |= _figures(name, "floor", real, self._clean(self._held_out.head(count)))
        return Comparison(figures, self._notes(rows, what))

    def _clean(self, rows: pd.DataFrame) -> np.ndarray:
        return self._features(self._sets.clean, rows, rows["position"])

    def _features(self, source: ImageSet, rows: pd.DataFrame, positions: Any) -> np.ndarray:
        return cached_features(
            self._cache,
            self._extractor,
            source.fingerprint,
            list(rows["id"]),
            lambda: (source.at(int(position))[1] for position in positions),
        )

    def _shuffled(self, rows: pd.DataFrame, column: str) -> pd.DataFrame:
        """Order rows by a hash of their id: stable as the set grows."""
        keys = [philox_key(self._seed, "distances", str(value)) for value in rows[column]]
        return rows.iloc[np.argsort(np.array(keys, dtype=object), kind="stable")]

    def _spread(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Shuffle rows so that every clean image comes once before any comes twice."""
        shuffled = self._shuffled(rows, "id")
        turn = shuffled.groupby("clean_id").cumcount()
        return shuffled.iloc[np.argsort(turn.to_numpy(), kind="stable")]

    def _too_few(self, what: str, asked: int, found: int) -> str:
        return (
            f"{what}: no {self._extractor.name} distances; {KID_LEAST} images a side are the "
            f"least, found {found} of {asked} asked for and {len(self._reference)} clean ones."
        )

    def _notes(self, rows: pd.DataFrame, what: str) -> list[str]:
        count, name = len(rows), self._extractor.name
        notes = [f"{what}: {name} distances of {count} images a side against clean train images."]
        repeated = count - rows["clean_id"].nunique()
        if repeated:
            notes.append(
                f"{what}: {repeated} of the {count} compared images share their clean image with "
                "another one, which raises the distances a little."
            )
        if len(self._held_out) < count:
            notes.append(
                f"{what}: no floor of {name}; {len(self._held_out)} clean held-out images are "
                f"fewer than {count}."
            )
        return notes + _frechet_note(what, name, count)


def damaged_rows(corrupted: ImageSet, split: str) -> pd.DataFrame:
    """Return the split's rows of the corrupted set that are damaged."""
    frame = corrupted.frame(split)
    return frame[frame["kind"] != CLEAN]


def _figures(name: str, part: str, real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """Return the distances that are valid at this N; part: "" for the restored images."""
    kid = kernel_distance(real, fake)
    figures = {_label("kid", name, part): kid.mean}
    if not part:
        figures[_label("kid", name, "error")] = kid.standard_error
    if len(fake) >= FD_TREND:
        figures[_label("fd", name, part)] = frechet_distance_of_features(real, fake)
    return figures


def _label(metric: str, name: str, part: str) -> str:
    """kid_efflite0, kid_input, kid_floor; another space's parts carry its name, too."""
    if not part:
        return f"{metric}_{name}"
    return f"{metric}_{part}" if name == efflite.NAME else f"{metric}_{name}_{part}"


def _frechet_note(what: str, name: str, count: int) -> list[str]:
    if count < FD_TREND:
        return [f"{what}: no Frechet distance of {name}; it needs {FD_TREND} images a side."]
    if count < FD_FIGURE:
        return [
            f"{what}: the Frechet distance of {name} at {count} images is a trend, to be read "
            f"beside its floor; as a figure it needs {FD_FIGURE}."
        ]
    return []
