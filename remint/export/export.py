"""An export from end to end: mint, filter, write every format at once, describe."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from remint.core.atomic import replaced_folder
from remint.core.device import pick_device
from remint.core.stores import Place
from remint.export.card import ExportFacts, card
from remint.export.counts import Counts
from remint.export.destination import check_destination, check_fresh
from remint.export.filtering import absent, build_filters, rejecting
from remint.export.filters import Candidate
from remint.export.kept import KeptMinter, kept_filters
from remint.export.marking import Encoder, marking_encoder
from remint.export.minting import ExportConfig, Model, discriminator_limits, minted, wanted
from remint.export.reals import RealSide, read_reals
from remint.export.withheld import RejectedImages, write_withheld
from remint.export.writers import (
    SCORES,
    ExportedImage,
    Folders,
    Manifest,
    Rejected,
    Tars,
    Writer,
    record,
)
from remint.images import imageset
from remint.images.imageset import ImageSet

# kept images and their number -> the same images
Show = Callable[[Iterable[ExportedImage], int], Iterable[ExportedImage]]


@dataclass(frozen=True)
class Summary:
    """metrics: flat figures; notes: sentences on what is absent, missing or short; counts: by
    class."""

    metrics: dict[str, float]
    notes: list[str]
    counts: Counts


def export(
    model: Model,
    clean: ImageSet | None,
    config: ExportConfig,
    out: Path,
    inputs: Sequence[Place],
    show: Show = lambda images, total: images,
    withheld: Path | None = None,
    kept: Path | None = None,
) -> Summary:
    """Mint images into the new folder `out`, which appears when everything in it is complete.

    clean: the real set that the generator was trained on; None leaves out the filters that need
    it. inputs: folders that `out` must keep away from. show: passes the kept images on, to show
    progress. withheld: folder for what is kept back (remint.export.withheld). kept: folder of this
    very export, from whose files one that was killed goes on (remint.export.kept). A class of which
    no image passes is named in the notes. Raises ValueError where `out` is not free, or the real
    set is another one than the generator's.
    """
    check_destination(out, inputs)
    encode = marking_encoder(config.c2pa)
    model = model if kept is None else KeptMinter(model, kept)
    reals = _reals(model, clean, config, kept)
    want = wanted(config, model.class_names, None if reals is None else reals.counts)
    limits = discriminator_limits(model, config.filters.discriminator, config.seed)
    filters = kept_filters(build_filters(config.filters, reals, model.logits, limits), kept)
    counts = Counts(model.class_names or ["(unlabelled)"], want)
    facts = _facts(model, reals, config, rejecting(config.filters, reals, limits))
    with replaced_folder(out) as folder:
        with ExitStack() as stack:
            rejected = stack.enter_context(Rejected(folder / "rejected.csv", model.class_names))
            back = stack.enter_context(RejectedImages(want, model.class_names, model.channels))
            seen_by = [counts.count, *([back.see] if withheld else [])]
            writers = [stack.enter_context(w) for w in _writers(folder, facts, config)]
            passed = _passed(minted(model, filters, config, want), seen_by, rejected)
            images = _written(passed, writers, model.class_names, encode)
            _drain(show(images, int(want.sum())), folder, config, facts)
            if withheld is not None:
                with replaced_folder(withheld) as hidden:
                    write_withheld(hidden, back, reals.classifier if reals else None)
        notes = [*_distilled(reals), *absent(config.filters, reals, limits), *_shortfalls(counts)]
        summary = Summary(counts.metrics(reals.accuracy if reals else None), notes, counts)
        _describe(folder, facts, summary)
        check_fresh(out)
    return summary


def _reals(
    model: Model, clean: ImageSet | None, config: ExportConfig, kept: Path | None
) -> RealSide | None:
    if clean is None or config.reals is None:
        return None
    trained = model.card.get("data", {}).get("clean")
    if trained is not None and trained != clean.fingerprint:
        raise ValueError(
            f"{clean.path} has the fingerprint {clean.fingerprint}, the generator was trained on "
            f"{trained}; give that set, or train the generator on this one"
        )
    shape = (model.size, model.size, model.channels)
    device = str(pick_device(config.device))
    return read_reals(clean, shape, model.classes, config.reals, config.seed, device, kept)


def _facts(
    model: Model, reals: RealSide | None, config: ExportConfig, filters: Sequence[str]
) -> ExportFacts:
    return ExportFacts(
        model=model.fingerprint,
        data=None if reals is None else reals.fingerprint,
        card=model.card,
        size=model.size,
        channels=model.channels,
        class_names=model.class_names,
        seed=config.seed,
        formats=config.formats,
        filters=filters,
        signed=bool(config.c2pa.certificate),
        papers=config.papers,
    )


def _writers(folder: Path, facts: ExportFacts, config: ExportConfig) -> Iterator[Writer]:
    hashes = {"model": facts.model, "data": facts.data}
    files = "imagefolder" if "imagefolder" in config.formats else None
    yield Manifest(folder / "manifest.parquet", hashes, files)
    if files:
        yield Folders(folder / files, facts.class_names)
    if "webdataset" in config.formats:
        yield Tars(folder / "webdataset", config.shard_megabytes * 2**20)


def _passed(
    candidates: Iterable[Candidate],
    seen_by: Sequence[Callable[[Candidate], None]],
    rejected: Rejected,
) -> Iterator[Candidate]:
    for candidate in candidates:
        for see in seen_by:
            see(candidate)
        if candidate.rejection is None:
            yield candidate
        else:
            rejected.add(candidate)


def _written(
    passed: Iterable[Candidate],
    writers: Sequence[Writer],
    class_names: Sequence[str],
    encode: Encoder,
) -> Iterator[ExportedImage]:
    for candidate in passed:
        name = class_names[candidate.label] if class_names else None
        image = ExportedImage(candidate, encode(candidate.image), name)
        for writer in writers:
            writer.add(image)
        yield image


def _drain(
    images: Iterable[ExportedImage], folder: Path, config: ExportConfig, facts: ExportFacts
) -> None:
    """Take every image through, into the image set where one is wanted."""
    if "set" not in config.formats:
        deque(images, maxlen=0)
        return
    imageset.write(
        folder / "set",
        map(record, images),
        metadata=_set_metadata(config, facts),
        extra_fields=SCORES,
        shard_bytes=config.shard_megabytes * 2**20,
    )


def _set_metadata(config: ExportConfig, facts: ExportFacts) -> Mapping[str, Any]:
    created = asdict(config)
    created.pop("c2pa")  # names of one's own files are nobody's business
    return {
        "class_names": list(facts.class_names),
        "channels": facts.channels,
        "created": created,
        "synthetic": {"model": facts.model, "data": facts.data},
    }


def _distilled(reals: RealSide | None) -> Iterator[str]:
    if reals is not None and reals.classifier is not None:
        yield (
            "The column soft_label holds the probabilities of the classifier that filtered: "
            "learning from it is distillation of what that classifier knows of real images."
        )


def _shortfalls(counts: Counts) -> Iterator[str]:
    """Yield a sentence for every class without an image, and one for all that have too few."""
    yield from (failure["text"] for failure in counts.failures())
    if short := counts.short():
        lacking = ", ".join(f"{name} {count:,}" for name, count in short.items())
        yield f"Attempts were used up before these classes had all they wanted: {lacking}."


def _describe(folder: Path, facts: ExportFacts, summary: Summary) -> None:
    from remint.export.croissant import croissant  # half a second, which the start is spared

    text = card(facts, summary.counts, summary.metrics, summary.notes)
    (folder / "README.md").write_text(text, encoding="utf-8")
    described = croissant(facts, folder, int(summary.metrics["images"]))
    words = json.dumps(described, indent=2, ensure_ascii=False)
    (folder / "croissant.json").write_text(words + "\n", encoding="utf-8")
