"""The export described for machines: Croissant 1.0 (MLCommons), as JSON-LD.

Specification: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from remint.export.card import ExportFacts

# terms of Croissant's own vocabulary that a description may use (specification, "Appendix 1")
TERMS = """citeAs column equivalentProperty extract field fileObject fileProperty fileSet format
includes isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace
samplingRate separator source subField transform"""
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in TERMS.split()},
}
MANIFEST_FILE = "manifest.parquet"
PARQUET = "application/x-parquet"
FILE_SETS = {
    "set": ("set/part-*.parquet", PARQUET),
    "imagefolder": ("imagefolder/**/*.png", "image/png"),
    "webdataset": ("webdataset/*.tar", "application/x-tar"),
}
SCORES = {
    "seed": ("sc:Integer", "seed that mints the image again"),
    "confidence": ("sc:Float", "probability of its class by a classifier trained on real images"),
    "discriminator_score": ("sc:Float", "logit of the discriminator"),
    "nearest_distance": ("sc:Float", "to the nearest training image, levels of small pixels"),
    "nearest_ratio": ("sc:Float", "the same over the distance to the second nearest"),
    "nearest_id": ("sc:Text", "id of the nearest training image"),
}
IDENTITY = {"id": ("sc:Text", "hash of the pixels"), "label": ("sc:Integer", "number of the class")}
MANIFEST = {
    "key": ("sc:Text", "name in every format"),
    "file": ("sc:Text", "path of the PNG in the image folder"),
    "sha256": ("sc:Text", "of the PNG file"),
    "class_name": ("sc:Text", "name of the class"),
    **IDENTITY,
    **SCORES,
}
Columns = Mapping[str, tuple[str, str]]


def croissant(facts: ExportFacts, folder: Path, images: int) -> dict[str, Any]:
    """Return the JSON-LD of the export whose files lie, complete, in `folder`.

    Columns without a single value (labels of a set that has none) are left out.
    """
    formats = [name for name in facts.formats if name in FILE_SETS]
    filled = _filled(folder / MANIFEST_FILE)
    records = [_record_set("manifest", _from("fileObject", MANIFEST_FILE), MANIFEST, filled)]
    if "set" in formats:
        source = _from("fileSet", "set")
        whole = _record_set("images", source, {**IDENTITY, **SCORES}, filled)
        whole["field"].append(_image_field(source))
        records.insert(0, whole)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "minted-images",
        "description": f"{images} synthetic images made by a trained generator; no real scenes.",
        "keywords": ["synthetic", "machine-generated", *facts.class_names],
        "version": "1.0.0",
        "rai:dataCollection": f"Minted by a generator with weights {facts.model}.",
        "rai:dataCollectionType": ["Software Collection"],
        "distribution": [_manifest_file(folder), *map(_file_set, formats)],
        "recordSet": records,
    }


def _filled(manifest: Path) -> set[str]:
    """Return the columns of a Parquet file that hold a value in some row."""
    footer = pq.read_metadata(manifest)
    groups = [footer.row_group(n) for n in range(footer.num_row_groups)]
    columns = [group.column(n) for group in groups for n in range(group.num_columns)]
    return {c.path_in_schema for c in columns if c.statistics.null_count < c.num_values}


def _manifest_file(folder: Path) -> dict[str, Any]:
    name = MANIFEST_FILE
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    what = {"@type": "cr:FileObject", "@id": name, "name": name, "encodingFormat": PARQUET}
    return {**what, "contentUrl": name, "sha256": digest}


def _file_set(name: str) -> dict[str, Any]:
    includes, media = FILE_SETS[name]
    what = {"@type": "cr:FileSet", "@id": name, "name": name}
    return {**what, "encodingFormat": media, "includes": includes}


def _from(kind: str, name: str) -> dict[str, Any]:
    return {kind: {"@id": name}}


def _record_set(
    name: str, source: Mapping[str, Any], columns: Columns, filled: set[str]
) -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "name": f"{name}/{column}",
            "description": words,
            "dataType": kind,
            "source": {**source, "extract": {"column": column}},
        }
        for column, (kind, words) in columns.items()
        if column in filled
    ]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}


def _image_field(source: Mapping[str, Any]) -> dict[str, Any]:
    pixels = {"extract": {"column": "image"}, "transform": {"jsonPath": "bytes"}}
    name = {"@type": "cr:Field", "@id": "images/image", "name": "images/image"}
    return {
        **name,
        "description": "the image, as PNG",
        "dataType": "sc:ImageObject",
        "source": {**source, **pixels},
    }
