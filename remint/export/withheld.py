"""What an export keeps back for the stage that judges it: rejected images, and the teacher.

Neither is handed on: among the rejected images are suspected copies of training images.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa

from remint.classifier.train import Classifier
from remint.export.filters import Candidate
from remint.images import imageset
from remint.images.imagerows import set_schema
from remint.images.imageset import EncodedRecord, Record, encode
from remint.images.withheld import FIELDS, REJECTED, TEACHER


class RejectedImages(ExitStack):
    """The rejected among the first images minted of each class, as many as the class wanted.

    They wait in a file without a name, so that memory stays flat. attempt: how many images of the
    class were minted before; with it whoever has the kept ones in order has all as they came.
    """

    def __init__(self, wanted: np.ndarray, class_names: list[str], channels: int) -> None:
        """wanted: int64 [K]; class_names: none for a set without labels."""
        super().__init__()
        self._wanted, self._labelled = wanted, bool(class_names)
        self._metadata = {"class_names": class_names, "channels": channels}
        self._minted = Counter[int]()
        self._file = self.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (the stack ends it)
        self._schema = set_schema(self._metadata, FIELDS)
        self._rows = self.enter_context(pa.ipc.new_stream(self._file, self._schema))

    def see(self, candidate: Candidate) -> None:
        """Count a minted image of its class, and keep it if it was rejected early enough."""
        label, rejection = candidate.label, candidate.rejection
        attempt = self._minted[label]
        self._minted[label] += 1
        if rejection is None or attempt >= self._wanted[label]:
            return
        why = {"attempt": attempt, "filter": rejection.filter}
        source, named = f"minted/{label}/{candidate.seed}", label if self._labelled else None
        row = encode(Record(candidate.id, candidate.image, "train", source, named, why)).row
        self._rows.write_batch(pa.RecordBatch.from_pylist([row], schema=self._schema))

    def write(self, path: Path) -> int:
        """Write the image set, and return the number of its images; no more can be seen."""
        self._rows.close()
        return imageset.write(path, self._kept(), metadata=self._metadata, extra_fields=FIELDS)

    def _kept(self) -> Iterator[EncodedRecord]:
        self._file.seek(0)
        for batch in pa.ipc.open_stream(self._file):
            yield from map(EncodedRecord, batch.to_pylist())


def write_withheld(folder: Path, rejected: RejectedImages, teacher: Classifier | None) -> None:
    """Write both into a folder; a set of one class had no teacher."""
    rejected.write(folder / REJECTED)
    if teacher is not None:
        teacher.save(folder / TEACHER)
