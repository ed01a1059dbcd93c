"""Minted images kept batch by batch, until the export that asked for them is whole.

Filters remember what they let through, so an export that was killed filters anew; but a batch
follows from model, labels and seeds alone, and what is there is not minted again.
"""

from collections.abc import Iterable
from dataclasses import asdict
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from remint.core.device import computed_on
from remint.core.stores import Place
from remint.export.minting import ExportConfig, Model
from remint.generator.generator import Minter
from remint.images import passing
from remint.images.imageset import ImageSet
from remint.images.passing import Told, made_part, read_rows

SCHEMA = pa.schema([pa.field("pixels", pa.binary())])
SETTINGS_OF_THE_FILES = ("formats", "shard_megabytes", "c2pa", "papers")
ROOMS = tuple(
    f"remint.{room}" for room in ("export", "generator", "classifier", "metrics", "networks")
)


def work_of(minter: Minter, clean: ImageSet, config: ExportConfig) -> str:
    """Return the fingerprint of all that decides which images are minted, and how they look."""
    decides = {k: v for k, v in asdict(config).items() if k not in SETTINGS_OF_THE_FILES}
    given = [decides, minter.fingerprint, minter.card, clean.fingerprint]
    return passing.work_of([*given, computed_on(minter.device)], ROOMS, ["torch"])


class KeptMinter:
    """A model like `model`, whose batches become files in `folder`: each is minted once."""

    def __init__(self, model: Model, folder: Place) -> None:
        self._model, self._folder = model, folder
        self.channels, self.size, self.card = model.channels, model.size, model.card
        self.class_names, self.classes = model.class_names, model.classes

    @property
    def fingerprint(self) -> str:
        """Hash of the weights."""
        return self._model.fingerprint

    def mint(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Return uint8 [N, S, S, C] as the model minted them when it was first asked."""
        asked = np.stack([labels, seeds]).astype("<i8")
        name = blake2b(asked.tobytes(), digest_size=16).hexdigest()
        shape = self.size, self.size, self.channels

        def minted() -> Iterable[Told]:
            return ({"pixels": image.tobytes()} for image in self._model.mint(labels, seeds))

        path = made_part(
            self._folder / f"{name}.parquet",
            SCHEMA,
            lambda rows: sum(1 for _ in rows) == len(labels),
            minted,
            lambda row: len(row["pixels"]),
        )
        pixels = bytearray().join(row["pixels"] for row in read_rows(path))
        return np.frombuffer(pixels, np.uint8).reshape(len(labels), *shape)

    def logits(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        """Return the discriminator's logits float32 [N], None where there is none."""
        return self._model.logits(images, labels)
