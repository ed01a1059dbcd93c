"""The export described for machines: Croissant 1.0 (MLCommons), as JSON-LD.

Specification: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import mlcroissant as mlc
import pyarrow.parquet as pq

from remint.export.card import ExportFacts
from remint.images.labelled import SOFT_LABEL

VERSION = "http://mlcommons.org/croissant/1.0"
MANIFEST_FILE = "manifest.parquet"
PARQUET = "application/x-parquet"
FILE_SETS = {
    "set": ("set/part-*.parquet", PARQUET),
    "imagefolder": ("imagefolder/**/*.png", "image/png"),
    "webdataset": ("webdataset/*.tar", "application/x-tar"),
}
INTEGER, FLOAT, TEXT = mlc.DataType.INTEGER, mlc.DataType.FLOAT, mlc.DataType.TEXT
SCORES = {
    "seed": (INTEGER, "seed that mints the image again"),
    "confidence": (FLOAT, "probability of its class by a classifier trained on real images"),
    "discriminator_score": (FLOAT, "logit of the discriminator"),
    "nearest_distance": (FLOAT, "to the nearest training image, levels of small pixels"),
    "nearest_ratio": (FLOAT, "the same over the distance to the second nearest"),
    "nearest_id": (TEXT, "id of the nearest training image"),
    SOFT_LABEL: (FLOAT, "probability of every class by that classifier: its knowledge, distilled"),
}
IDENTITY = {"id": (TEXT, "hash of the pixels"), "label": (INTEGER, "number of the class")}
MANIFEST = {
    "key": (TEXT, "name in every format"),
    "file": (TEXT, "path of the PNG in the image folder"),
    "sha256": (TEXT, "of the PNG file"),
    "class_name": (TEXT, "name of the class"),
    **IDENTITY,
    **SCORES,
}
Columns = Mapping[str, tuple[str, str]]


def croissant(facts: ExportFacts, folder: Path, images: int) -> dict[str, Any]:
    """Return the JSON-LD of the export whose files lie, complete, in `folder`.

    Columns without a single value (labels of a set that has none) are left out.
    """
    context = mlc.Context(conforms_to=VERSION)
    formats = [name for name in facts.formats if name in FILE_SETS]
    filled = _filled(folder / MANIFEST_FILE)
    source = {"file_object": MANIFEST_FILE}
    records = [
        _records(context, "manifest", _fields(context, "manifest", source, MANIFEST, filled))
    ]
    if "set" in formats:
        fields = _fields(context, "images", {"file_set": "set"}, {**IDENTITY, **SCORES}, filled)
        records.insert(0, _records(context, "images", [*fields, _image_field(context)]))
    described: dict[str, Any] = mlc.Metadata(
        ctx=context,
        name="minted-images",
        description=f"{images} synthetic images made by a trained generator; no real scenes.",
        keywords=["synthetic", "machine-generated", *facts.class_names],
        version="1.0.0",
        license=[facts.papers.license],
        cite_as=_citation(facts),
        date_published=datetime.fromisoformat(day) if (day := facts.papers.published) else None,
        data_collection=f"Minted by a generator with weights {facts.model}.",
        data_collection_type=["Software Collection"],
        distribution=[
            _manifest_file(context, folder),
            *(_file_set(context, name) for name in formats),
        ],
        record_sets=records,
    ).to_json()
    return described


def _citation(facts: ExportFacts) -> str:
    """Return BibTeX that names what the images were made by."""
    key = f"minted-{facts.model[:8]}-{facts.seed}"
    year = f", year = {{{facts.papers.published[:4]}}}" if facts.papers.published else ""
    made = f"Made by a generator with weights {facts.model} from seed {facts.seed}"
    return f"@misc{{{key}, title = {{Minted images}}{year}, note = {{{made}}}}}"


def _filled(manifest: Path) -> set[str]:
    """Return the columns of a Parquet file that hold a value in some row."""
    footer = pq.read_metadata(manifest)
    groups = [footer.row_group(n) for n in range(footer.num_row_groups)]
    columns = [group.column(n) for group in groups for n in range(group.num_columns)]
    filled = [c for c in columns if c.statistics.null_count < c.num_values]
    return {column.path_in_schema.partition(".")[0] for column in filled}  # lists have leaves


def _manifest_file(context: mlc.Context, folder: Path) -> mlc.FileObject:
    return mlc.FileObject(
        ctx=context,
        id=MANIFEST_FILE,
        name=MANIFEST_FILE,
        content_url=MANIFEST_FILE,
        encoding_formats=[PARQUET],
        sha256=hashlib.sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest(),
    )


def _file_set(context: mlc.Context, name: str) -> mlc.FileSet:
    includes, media = FILE_SETS[name]
    return mlc.FileSet(
        ctx=context, id=name, name=name, encoding_formats=[media], includes=[includes]
    )


def _records(context: mlc.Context, name: str, fields: list[mlc.Field]) -> mlc.RecordSet:
    return mlc.RecordSet(ctx=context, id=name, name=name, fields=fields)


def _fields(
    context: mlc.Context,
    records: str,
    source: Mapping[str, str],
    columns: Columns,
    filled: set[str],
) -> list[mlc.Field]:
    return [
        mlc.Field(
            ctx=context,
            id=f"{records}/{column}",
            name=f"{records}/{column}",
            description=words,
            data_types=[kind],
            repeated=column == SOFT_LABEL or None,
            source=mlc.Source(
                ctx=context, extract=mlc.Extract(ctx=context, column=column), **source
            ),
        )
        for column, (kind, words) in columns.items()
        if column in filled
    ]


def _image_field(context: mlc.Context) -> mlc.Field:
    source = mlc.Source(
        ctx=context,
        file_set="set",
        extract=mlc.Extract(ctx=context, column="image"),
        transforms=[mlc.Transform(ctx=context, json_path="bytes")],
    )
    return mlc.Field(
        ctx=context,
        id="images/image",
        name="images/image",
        description="the image, as PNG",
        data_types=[mlc.DataType.IMAGE_OBJECT],
        source=source,
    )
