"""Rows of an image set: the schema, and how one image with its provenance becomes a row."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from remint.images.imagefile import encode_png

SCHEMA_VERSION = 2  # 1 had no tally of shards and rows
SPLITS = ("train", "val", "test")
IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
FIELDS = (
    pa.field("id", pa.string()),
    pa.field("image", IMAGE),
    pa.field("label", pa.int32()),
    pa.field("split", pa.string()),
    pa.field("height", pa.int32()),
    pa.field("width", pa.int32()),
    pa.field("channels", pa.int32()),
    pa.field("source", pa.string()),
)
GROUP_ROWS = 256
GROUP_BYTES = 2**20  # small row groups: reading one row at random reads its whole group


class ImageSetError(ValueError):
    """Raised when an image set is absent, newer than this code, broken, or wrongly filled."""


@dataclass(frozen=True)
class Record:
    """One row to be written: `image` is uint8 HWC with 1 or 3 channels.

    extra: values of the set's extra fields; those of image type are uint8 HWC arrays (HW for a
    mask column) or None.
    """

    id: str
    image: np.ndarray
    split: str
    source: str
    label: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EncodedRecord:
    """A row ready to be written: every column by name, images as struct of bytes and path."""

    row: dict[str, Any]


def pixel_id(image: np.ndarray) -> str:
    """Return the id of a uint8 image: 32 hex digits (BLAKE2b-128) of its shape and pixels."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def is_mask(column: str) -> bool:
    """Say whether an image column of this name holds HW masks rather than HWC images."""
    return column == "mask" or column.endswith("_mask")


def image_columns(schema: pa.Schema) -> list[str]:
    """Return the names of the columns that hold encoded images."""
    return [column.name for column in schema if column.type == IMAGE]


def set_schema(metadata: Mapping[str, Any], extra_fields: Sequence[pa.Field]) -> pa.Schema:
    """Return the schema of a set, with our metadata and the Hugging Face feature description."""
    schema = pa.schema([*FIELDS, *extra_fields])
    if len(set(schema.names)) < len(schema.names):
        raise ImageSetError(f"An extra field repeats a column name in {schema.names}; rename it.")
    ours = {**metadata, "schema_version": SCHEMA_VERSION}
    features = {name: {"_type": "Image"} for name in image_columns(schema)}
    return schema.with_metadata(
        {
            "remint": json.dumps(ours, sort_keys=True),
            "huggingface": json.dumps({"info": {"features": features}}),
        }
    )


def encode(record: Record) -> EncodedRecord:
    """Check a record and encode its images; `write` does this itself, workers may do it before.

    Raises ImageSetError for pixels, a split or an extra image that does not fit.
    """
    _check(record)
    height, width, channels = record.image.shape
    row = {name: getattr(record, name) for name in ("id", "image", "label", "split", "source")}
    row |= {"height": height, "width": width, "channels": channels, **record.extra}
    images = {name: value for name, value in row.items() if isinstance(value, np.ndarray)}
    return EncodedRecord({**row, **{k: _encoded(v, k, record.id) for k, v in images.items()}})


def row_groups(schema: pa.Schema, records: Iterable[Record | EncodedRecord]) -> Iterator[pa.Table]:
    """Encode records and yield them as tables of at most 256 rows or about 1 MiB."""
    rows: list[dict[str, Any]] = []
    size = 0
    for record in records:
        row = (record if isinstance(record, EncodedRecord) else encode(record)).row
        _check_names(row, schema.names)
        rows.append(row)
        size += sum(len(value["bytes"]) for value in row.values() if isinstance(value, dict))
        if len(rows) >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_pylist(rows, schema=schema)
            rows, size = [], 0
    if rows:
        yield pa.Table.from_pylist(rows, schema=schema)


def _check_names(row: Mapping[str, Any], columns: Sequence[str]) -> None:
    if row.keys() != set(columns):
        given, declared = (sorted(set(names)) for names in (row, columns))
        raise ImageSetError(
            f"Record {row['id']} has the values {given}, but the set was declared with "
            f"{declared}; give every declared field a value, None if missing."
        )


def _check(record: Record) -> None:
    shape, dtype = record.image.shape, record.image.dtype
    if dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
        raise ImageSetError(
            f"Record {record.id} has pixels {dtype} {shape}; needed are uint8 (height, width, 1 "
            "or 3), none of them 0."
        )
    if record.split not in SPLITS:
        raise ImageSetError(f"Record {record.id} has split {record.split!r}; use one of {SPLITS}.")


def _encoded(image: np.ndarray, column: str, id: str) -> dict[str, Any]:
    if image.ndim != (2 if is_mask(column) else 3):
        raise ImageSetError(
            f"Record {id} has an array of shape {image.shape} in column {column}; masks are HW, "
            "images HWC."
        )
    name = id if column == "image" else f"{id}.{column}"
    return {"bytes": encode_png(image), "path": f"{name}.png"}
