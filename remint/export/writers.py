"""The formats of an export beside the image set, each written image by image.

ImageFolder: one PNG an image in a folder a class, as torchvision and Hugging Face `datasets` read.
WebDataset: tar files in which names before the first dot join a PNG, its class and its JSON.
Equal images give equal bytes in every format.
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from webdataset import ShardWriter

from remint.export.destination import folder_name
from remint.export.filters import Candidate
from remint.images.imageset import EncodedRecord

SPLIT = "train"  # minted images are for training alone
UNLABELLED = "unlabelled"
EMPTY = ".empty"
MANIFEST_ROWS = 4096
SHARD_IMAGES = 10_000  # of a tar file at most: its writer remembers the names of one
# what the image set holds beside its own columns
SCORES = (
    pa.field("seed", pa.int64()),
    pa.field("confidence", pa.float32()),
    pa.field("discriminator_score", pa.float32()),
    pa.field("nearest_distance", pa.float32()),
    pa.field("nearest_ratio", pa.float32()),
    pa.field("nearest_id", pa.string()),
    pa.field("soft_label", pa.list_(pa.float32())),
)
MANIFEST = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("file", pa.string()),
        pa.field("id", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("label", pa.int32()),
        pa.field("class_name", pa.string()),
        *SCORES,
        pa.field("model", pa.string()),
        pa.field("data", pa.string()),
    ]
)


@dataclass(frozen=True)
class ExportedImage:
    """A kept image ready for every format. class_name: None for a set without labels."""

    candidate: Candidate
    png: bytes
    class_name: str | None

    @property
    def key(self) -> str:
        """The name in every format: class and seed, which is all it takes to mint it again."""
        return f"{self.candidate.label:04d}-{self.candidate.seed:016d}"

    @property
    def folder(self) -> str:
        """The folder of its class."""
        return UNLABELLED if self.class_name is None else folder_name(self.class_name)

    @property
    def label(self) -> int | None:
        return None if self.class_name is None else self.candidate.label

    def scores(self) -> dict[str, Any]:
        """The values of SCORES."""
        return {field.name: getattr(self.candidate, field.name) for field in SCORES}


class Writer(ExitStack):
    """Takes exported images one by one; complete when its context ends."""

    def add(self, image: ExportedImage) -> None:
        """Write one image."""
        raise NotImplementedError


class Folders(Writer):
    """ImageFolder: `root`/train/CLASS/KEY.png.

    A class without an image has a folder too, with an empty hidden file that DVC and git keep: its
    loaders number folders, and the others' numbers must not move up.
    """

    def __init__(self, root: Path, class_names: Sequence[str]) -> None:
        super().__init__()
        self._root, self._folders = root / SPLIT, [folder_name(name) for name in class_names]
        self.callback(self._keep_places)

    def add(self, image: ExportedImage) -> None:
        """Write one PNG."""
        folder = self._root / image.folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{image.key}.png").write_bytes(image.png)

    def _keep_places(self) -> None:
        for name in self._folders:
            if not (self._root / name).exists():
                (self._root / name).mkdir(parents=True)
                (self._root / name / EMPTY).touch()


class Tars(Writer):
    """WebDataset: `root`/train-000000.tar and so on, of about `shard_bytes` each."""

    def __init__(self, root: Path, shard_bytes: int) -> None:
        super().__init__()
        root.mkdir()
        writer = ShardWriter(
            f"{root.as_posix().replace('%', '%%')}/{SPLIT}-%06d.tar",
            maxcount=SHARD_IMAGES,
            maxsize=shard_bytes,
            mtime=0,  # no time and no owner: equal content, equal bytes
            user="",
            group="",
            verbose=0,
        )
        self._shards = self.enter_context(writer)

    def add(self, image: ExportedImage) -> None:
        """Append KEY.png, KEY.json and, where there are labels, KEY.cls."""
        facts = {"id": image.candidate.id, "class_name": image.class_name, **image.scores()}
        labels = {} if image.label is None else {"cls": image.label}
        self._shards.write({"__key__": image.key, "png": image.png, "json": facts, **labels})


class Manifest(Writer):
    """manifest.parquet: hashes, seed, label, scores and origin of every image."""

    def __init__(self, path: Path, origin: Mapping[str, str | None], folder: str | None) -> None:
        """origin: hashes of "model" and "data"; folder: of the ImageFolder, None without one."""
        super().__init__()
        self._origin, self._folder = dict(origin), folder
        self._writer = self.enter_context(pq.ParquetWriter(path, MANIFEST, compression="zstd"))
        self._rows: list[dict[str, Any]] = []
        self.callback(self._flush)  # runs before the file is closed

    def add(self, image: ExportedImage) -> None:
        """Write one row."""
        path = f"{self._folder}/{SPLIT}/{image.folder}/{image.key}.png" if self._folder else None
        row = {"key": image.key, "file": path, "id": image.candidate.id, "label": image.label}
        row |= {"sha256": hashlib.sha256(image.png).hexdigest(), "class_name": image.class_name}
        self._rows.append({**row, **image.scores(), **self._origin})
        if len(self._rows) == MANIFEST_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=MANIFEST))
            self._rows = []


class Rejected(ExitStack):
    """rejected.csv: every image that a filter rejected, and why."""

    COLUMNS = ("class_name", "label", "seed", "filter", "value", "limit", "nearest_id")

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        super().__init__()
        self._names = class_names
        file = self.enter_context(path.open("w", encoding="utf-8", newline=""))
        self._csv = csv.writer(file, lineterminator="\n")
        self._csv.writerow(self.COLUMNS)

    def add(self, candidate: Candidate) -> None:
        """Write one row for an image with a rejection."""
        why = candidate.rejection
        assert why is not None
        name = self._names[candidate.label] if self._names else ""
        measured = (why.filter, f"{why.value:.6g}", f"{why.limit:.6g}")
        nearest = candidate.nearest_id or ""
        self._csv.writerow((name, candidate.label, candidate.seed, *measured, nearest))


def record(image: ExportedImage) -> EncodedRecord:
    """Return an image as a row of the image set, its marked PNG as it is."""
    candidate = image.candidate
    height, width, channels = candidate.image.shape
    row = {
        "id": candidate.id,
        "image": {"bytes": image.png, "path": f"{image.key}.png"},
        "label": image.label,
        "split": SPLIT,
        "source": f"minted/{image.folder}/{candidate.seed}",
        "height": height,
        "width": width,
        "channels": channels,
    }
    return EncodedRecord({**row, **image.scores()})
