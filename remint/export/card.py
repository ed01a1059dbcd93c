"""The card of an export: README.md with the metadata that Hugging Face reads, and plain words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
from huggingface_hub import DatasetCardData

from remint.export.counts import Counts
from remint.export.filters import FILTERS
from remint.export.writers import SCORES, SPLIT
from remint.images.imagerows import FIELDS, IMAGE

FILES = {
    "set": "set/part-*.parquet",
    "imagefolder": f"imagefolder/{SPLIT}/**",
    "webdataset": f"webdataset/{SPLIT}-*.tar",
}
CONTENTS = {
    "set": "`set/`: Parquet, one row an image, pixels (PNG) and scores together; the layout of "
    "Hugging Face `datasets`, read by pandas, DuckDB and Remint as it is",
    "imagefolder": f"`imagefolder/{SPLIT}/CLASS/*.png`: for `torchvision.datasets.ImageFolder` "
    "and `load_dataset('imagefolder')`, which number folders in the order of their names; the "
    "numbers of this set stand in `manifest.parquet`. The folder of a class without an image is "
    "kept, so that no other takes its number (torchvision wants `allow_empty=True` then)",
    "webdataset": f"`webdataset/{SPLIT}-*.tar`: WebDataset shards of png, cls and json",
}
SIZES = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6))
LIMITS = """\
- These images were made by a model. They show no real object, person or event, and their labels
  are what the model was asked for, not what somebody saw.
- They can be no more varied than what the generator was trained on, and repeat its biases.
{copies}
- Figures taken on these images say how well something does on these images. Test on real ones.
- Every PNG says in its XMP metadata that it was made by a trained model (IPTC DigitalSourceType
  `trainedAlgorithmicMedia`). Programs that re-save an image drop that mark.
"""
COPIES_SOUGHT = """\
- The filters look for copies of training images in small pixels and by alignment, noise and small
  shifts included. That is a copy check, not a proof of privacy."""
COPIES_NOT_SOUGHT = """\
- Nobody looked for images that are nearly copies of training images: that filter did not run. Some
  may be, with what those images show of people or things."""
DISTILLATION = (
    "`soft_label` holds that classifier's probability of every class, in the order of the class "
    "numbers. Learning from it is distillation: what is gained comes from the classifier, which "
    "saw real images, as well as from these images. Compare it with real images that carry the "
    "same classifier's probabilities."
)


@dataclass(frozen=True)
class PapersConfig:
    """What only whoever hands an export on can know.

    license: of the images, a name such as cc-by-4.0 or an address; published: YYYY-MM-DD, or "".
    """

    license: str
    published: str

    def __post_init__(self) -> None:
        if self.published:
            try:
                date.fromisoformat(self.published)
            except ValueError:
                raise ValueError(
                    f'published: found {self.published!r}, needed a day as "2026-01-31", or ""'
                ) from None


@dataclass(frozen=True)
class ExportFacts:
    """Where an export comes from.

    model, data: hashes of the generator's weights and of the real set (None: none was given).
    card: of the generator. size, channels: of the images. filters: names of those that could reject
    an image. signed: with C2PA.
    """

    model: str
    data: str | None
    card: Mapping[str, Any]
    size: int
    channels: int
    class_names: Sequence[str]
    seed: int
    formats: Sequence[str]
    filters: Sequence[str]
    signed: bool
    papers: PapersConfig


def card(
    facts: ExportFacts, counts: Counts, metrics: Mapping[str, float], notes: Sequence[str]
) -> str:
    """Return the text of README.md."""
    return "\n".join(
        [
            *_front_matter(facts, int(metrics["images"])),
            "# Minted images",
            "",
            *_summary(facts, metrics),
            "",
            "## Contents",
            "",
            *(f"- {CONTENTS[name]}" for name in facts.formats),
            "- `manifest.parquet`: hashes, seed, label and scores of every image",
            "- `rejected.csv`: what the filters rejected, and why",
            "- `croissant.json`: the same description for machines (Croissant 1.0)",
            "",
            "## Figures",
            "",
            *_figures(facts, counts, metrics),
            *(["", *(f"- {note}" for note in notes)] if notes else []),
            "",
            "## Limits",
            "",
            LIMITS.format(copies=_copies(facts)),
        ]
    )


def _front_matter(facts: ExportFacts, images: int) -> Iterator[str]:
    """Yield the YAML block of Hugging Face's dataset cards."""
    task = "image-classification" if facts.class_names else "unconditional-image-generation"
    size = next((name for name, below in SIZES if images < below), "n>1M")
    files = [{"split": SPLIT, "path": FILES[facts.formats[0]]}]
    features = _features(facts)
    metadata = DatasetCardData(
        pretty_name="Minted images",
        license=facts.papers.license,
        tags=["synthetic", "machine-generated"],
        task_categories=[task],
        annotations_creators=["machine-generated"],
        size_categories=[size],
        configs=[{"config_name": "default", "data_files": files}],
        dataset_info={"features": features} if features else None,
    )
    yield "---"
    yield metadata.to_yaml()
    yield "---"
    yield ""


def _features(facts: ExportFacts) -> list[dict[str, Any]]:
    """Return the set's columns as `datasets` names them, labels by name.

    Of folders and tar files it finds them out itself, whatever is said here.
    """
    if facts.formats[0] != "set":
        return []
    return [_column(field, facts.class_names) for field in (*FIELDS, *SCORES)]


def _column(field: pa.Field, names: Sequence[str]) -> dict[str, Any]:
    if field.name == "label" and names:
        numbered = {str(number): name for number, name in enumerate(names)}
        return {"name": "label", "dtype": {"class_label": {"names": numbered}}}
    if field.type == IMAGE:
        return {"name": field.name, "dtype": "image"}
    if pa.types.is_list(field.type):
        return {"name": field.name, "sequence": _dtype(field.type.value_type)}
    return {"name": field.name, "dtype": _dtype(field.type)}


def _dtype(kind: pa.DataType) -> str:
    return {"float": "float32"}.get(str(kind), str(kind))


def _summary(facts: ExportFacts, metrics: Mapping[str, float]) -> Iterator[str]:
    colour = "grey" if facts.channels == 1 else "colour"
    classes = f" of {len(facts.class_names)} classes" if facts.class_names else ""
    yield (
        f"{metrics['images']:,.0f} synthetic {colour} images{classes}, {facts.size} x "
        f"{facts.size} px, made by a generator that Remint trained. Each can be made again alone "
        "from its seed and class."
    )
    yield ""
    yield f"- Generator: {_training(facts.card)}weights `{facts.model}`"
    trained = facts.card.get("data", {}).get("clean")
    yield f"- Trained on: the training split of the set `{trained or 'unknown'}`"
    yield f"- Filtered against: {f'the set `{facts.data}`' if facts.data else 'no real set'}"
    yield f"- Seed of the export: {facts.seed}"
    yield f"- Signed with C2PA: {'yes' if facts.signed else 'no'}"


def _training(facts: Mapping[str, Any]) -> str:
    name = facts.get("network", {}).get("name")
    seen = facts.get("images_seen")
    told = f"`{name}`, " if name else ""
    return told + (f"{seen:,} images seen in training, " if isinstance(seen, int) else "")


def _copies(facts: ExportFacts) -> str:
    return COPIES_SOUGHT if "training_copy" in facts.filters else COPIES_NOT_SOUGHT


def _figures(facts: ExportFacts, counts: Counts, metrics: Mapping[str, float]) -> Iterator[str]:
    minted, kept = metrics["minted"], metrics["kept_share"]
    yield f"{minted:,.0f} images were minted, {kept:.1%} of them kept. Rejected:"
    yield ""
    for name, words in FILTERS.items():
        rejected = f"{metrics[f'rejected_{name}']:,.0f}"
        yield f"- {words}: {rejected if name in facts.filters else 'not looked for'}"
    yield ""
    if "filter_classifier_accuracy" in metrics:
        yield (
            "The classifier that filtered by class is right on "
            f"{metrics['filter_classifier_accuracy']:.1%} of the real held-out images."
        )
        yield ""
        yield DISTILLATION
    if "nearest_distance_median" in metrics:
        yield (
            "Distance to the nearest training image in grey levels at 16 x 16 px: median "
            f"{metrics['nearest_distance_median']:.1f}, least "
            f"{metrics['nearest_distance_least']:.1f}."
        )
    yield from _table(counts)


def _table(counts: Counts) -> Iterator[str]:
    yield ""
    yield "| class | wanted | exported | minted |"
    yield "|---|---|---|---|"
    for row in counts.classes():
        name = row["class"].replace("|", r"\|").replace("\n", " ")
        yield f"| {name} | {row['wanted']:,} | {row['exported']:,} | {row['minted']:,} |"
