"""What an export made, kept in files until it is whole, so that one that was killed goes on.

A batch follows from model, labels and seeds alone, and so does what classifier, discriminator and
the search for copies say of it: what is there is neither minted nor asked again. The two filters
that remember what they let through, and the one for blank images, look at all batches again.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa

from remint.core.device import computed_on
from remint.export.filtering import Filter
from remint.export.filters import Finding, MintedBatch
from remint.export.minting import ExportConfig, Model
from remint.generator.generator import Minter
from remint.images import passing
from remint.images.imageset import ImageSet
from remint.images.passing import Told, made_part, read_rows

PIXELS = pa.schema([pa.field("pixels", pa.binary())])
FINDINGS = pa.schema(
    [
        pa.field("value", pa.float64()),
        pa.field("limit", pa.float64()),
        pa.field("scores", pa.string()),  # JSON, which keeps every float as it is
    ]
)
DEAR = ("confidence", "discriminator", "training_copy")  # filters, none of which has a memory
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

    def __init__(self, model: Model, folder: Path) -> None:
        self._model, self._folder = model, folder
        self.channels, self.size, self.card = model.channels, model.size, model.card
        self.class_names, self.classes = model.class_names, model.classes

    @property
    def fingerprint(self) -> str:
        """Hash of the weights."""
        return self._model.fingerprint

    def mint(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Return uint8 [N, S, S, C] as the model minted them when it was first asked."""
        shape = self.size, self.size, self.channels

        def minted() -> Iterable[Told]:
            return ({"pixels": image.tobytes()} for image in self._model.mint(labels, seeds))

        rows = _rows_of(self._folder, labels, seeds, "", PIXELS, minted)
        pixels = bytearray().join(row["pixels"] for row in rows)
        return np.frombuffer(pixels, np.uint8).reshape(len(labels), *shape)

    def logits(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        """Return the discriminator's logits float32 [N], None where there is none."""
        return self._model.logits(images, labels)


class KeptFilter:
    """A filter like `asked`, which has no memory: it looks at each batch once."""

    def __init__(self, asked: Filter, folder: Path) -> None:
        self.name = asked.name
        self._asked, self._folder = asked, folder

    def __call__(self, batch: MintedBatch) -> Finding:
        """Return what the filter said of the batch when it was first asked."""

        def found() -> Iterable[Told]:
            finding = self._asked(batch)
            for row, (value, limit) in enumerate(zip(finding.values, finding.limits, strict=True)):
                scores = {column: values[row] for column, values in finding.scores.items()}
                yield {"value": float(value), "limit": float(limit), "scores": json.dumps(scores)}

        kind = f".{self.name}"
        rows = list(_rows_of(self._folder, batch.labels, batch.seeds, kind, FINDINGS, found))
        scores = [json.loads(row["scores"]) for row in rows]
        return Finding(
            np.array([row["value"] for row in rows]),
            np.array([row["limit"] for row in rows]),
            {column: [known[column] for known in scores] for column in scores[0]},
        )


def kept_filters(filters: Sequence[Filter], folder: Path | None) -> list[Filter]:
    """Return the filters, the dear ones keeping what they find in `folder` (None: not)."""
    if folder is None:
        return list(filters)
    return [KeptFilter(f, folder) if f.name in DEAR else f for f in filters]


def _rows_of(
    folder: Path,
    labels: np.ndarray,
    seeds: np.ndarray,
    kind: str,
    schema: pa.Schema,
    make: Callable[[], Iterable[Told]],
) -> Iterator[Told]:
    """Yield a row for each image of a batch, made where no whole part of this kind has them."""
    asked = np.stack([labels, seeds]).astype("<i8")
    name = blake2b(asked.tobytes(), digest_size=16).hexdigest()
    heavy = schema.names[-1]  # pixels, or scores
    path = made_part(
        folder / f"{name}{kind}.parquet",
        schema,
        lambda rows: sum(1 for _ in rows) == len(labels),
        make,
        lambda row: len(row[heavy]),
    )
    yield from read_rows(path)
