"""An export from end to end: mint, filter, write every format at once, describe."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from remint.core.atomic import replaced_folder
from remint.core.device import pick_device
from remint.export.card import Origin, card
from remint.export.counts import Counts
from remint.export.croissant import croissant
from remint.export.destination import check_fresh, check_place
from remint.export.filtering import Sieve
from remint.export.filters import Candidate, Mint
from remint.export.marking import Encoder, marking_encoder
from remint.export.minting import ExportConfig, minted, wanted
from remint.export.reals import Reals, read_reals
from remint.export.writers import SCORES, Folders, Item, Manifest, Rejected, Tars, Writer, record
from remint.images import imageset
from remint.images.imageset import ImageSet

Show = Callable[[Iterable[Item], int], Iterable[Item]]  # items and their number -> the same items


class Model(Mint, Protocol):
    """A generator with its card."""

    card: dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """metrics: flat figures; notes: sentences on what is absent or short; counts: by class."""

    metrics: dict[str, float]
    notes: list[str]
    counts: Counts


def export(
    minter: Model,
    clean: ImageSet | None,
    config: ExportConfig,
    out: Path,
    inputs: Sequence[Path],
    show: Show = lambda items, total: items,
) -> Summary:
    """Mint images into the new folder `out`, which appears when everything in it is complete.

    clean: the real set that the generator was trained on; None leaves out the filters that need
    it. inputs: folders that `out` must keep away from. show: passes the kept images on, to show
    progress. Raises ValueError where `out` is not free, the real set is another one than the
    generator's, or a class gets no image at all.
    """
    check_place(out, inputs)
    encode = marking_encoder(config.c2pa)
    reals = _reals(minter, clean, config)
    sieve = Sieve(minter, reals, config.filters, config.seed)
    want = wanted(config, minter.classes, None if reals is None else reals.counts)
    counts = Counts(minter.class_names or ["(unlabelled)"], want)
    origin = _origin(minter, reals, config)
    with replaced_folder(out) as folder:
        with ExitStack() as stack:
            rejected = stack.enter_context(Rejected(folder / "rejected.csv", minter.class_names))
            writers = [stack.enter_context(w) for w in _writers(folder, origin, config)]
            kept = _kept(minted(sieve, config, want), counts, rejected)
            items = _written(kept, writers, minter.class_names, encode)
            _drain(show(items, int(want.sum())), folder, config, origin)
        summary = _summary(counts, sieve, reals)
        _describe(folder, origin, summary)
        check_fresh(out)
    return summary


def _reals(minter: Model, clean: ImageSet | None, config: ExportConfig) -> Reals | None:
    if clean is None or config.reals is None:
        return None
    trained = minter.card.get("data", {}).get("clean")
    if trained is not None and trained != clean.fingerprint:
        raise ValueError(
            f"{clean.path} has the fingerprint {clean.fingerprint}, the generator was trained on "
            f"{trained}; give that set, or train the generator on this one"
        )
    shape = (minter.size, minter.size, minter.channels)
    device = str(pick_device(config.device))
    return read_reals(clean, shape, minter.classes, config.reals, config.seed, device)


def _origin(minter: Model, reals: Reals | None, config: ExportConfig) -> Origin:
    return Origin(
        model=minter.fingerprint,
        data=None if reals is None else reals.fingerprint,
        facts=minter.card,
        size=minter.size,
        channels=minter.channels,
        class_names=minter.class_names,
        seed=config.seed,
        formats=config.formats,
        signed=bool(config.c2pa.certificate),
    )


def _writers(folder: Path, origin: Origin, config: ExportConfig) -> Iterator[Writer]:
    hashes = {"model": origin.model, "data": origin.data}
    files = "imagefolder" if "imagefolder" in config.formats else None
    yield Manifest(folder / "manifest.parquet", hashes, files)
    if files:
        yield Folders(folder / files)
    if "webdataset" in config.formats:
        yield Tars(folder / "webdataset", config.shard_megabytes * 2**20)


def _kept(found: Iterable[Candidate], counts: Counts, rejected: Rejected) -> Iterator[Candidate]:
    for candidate in found:
        counts.count(candidate)
        if candidate.rejection is None:
            yield candidate
        else:
            rejected.add(candidate)


def _written(
    kept: Iterable[Candidate],
    writers: Sequence[Writer],
    class_names: Sequence[str],
    encode: Encoder,
) -> Iterator[Item]:
    for found in kept:
        name = class_names[found.label] if class_names else None
        item = Item(found, encode(found.image), name)
        for writer in writers:
            writer.add(item)
        yield item


def _drain(items: Iterable[Item], folder: Path, config: ExportConfig, origin: Origin) -> None:
    """Take every item through, into the image set where one is wanted."""
    if "set" not in config.formats:
        for _ in items:
            pass
        return
    imageset.write(
        folder / "set",
        map(record, items),
        metadata=_set_metadata(config, origin),
        extra_fields=SCORES,
        shard_bytes=config.shard_megabytes * 2**20,
    )


def _set_metadata(config: ExportConfig, origin: Origin) -> Mapping[str, Any]:
    created = asdict(config)
    created.pop("c2pa")  # names of one's own files are nobody's business
    return {
        "class_names": list(origin.class_names),
        "channels": origin.channels,
        "created": created,
        "synthetic": {"model": origin.model, "data": origin.data},
    }


def _summary(counts: Counts, sieve: Sieve, reals: Reals | None) -> Summary:
    empty = [
        name
        for label, name in enumerate(counts.class_names)
        if counts.wanted[label] and not counts.kept[label]
    ]
    if empty:
        rejected = ", ".join(f"{name} {n}" for name, n in counts.by_filter().items() if n)
        raise ValueError(
            f"no image of {', '.join(empty)} passed the filters (rejected in all: {rejected}); "
            "train longer, or lower the limits"
        )
    notes = list(sieve.absent)
    if short := counts.short():
        lacking = ", ".join(f"{name} {count:,}" for name, count in short.items())
        notes.append(f"Attempts were used up before these classes had all they wanted: {lacking}.")
    metrics = counts.metrics(None if reals is None else reals.accuracy)
    return Summary(metrics, notes, counts)


def _describe(folder: Path, origin: Origin, summary: Summary) -> None:
    text = card(origin, summary.counts, summary.metrics, summary.notes)
    (folder / "README.md").write_text(text, encoding="utf-8")
    described = croissant(origin, folder, int(summary.metrics["images"]))
    words = json.dumps(described, indent=2, ensure_ascii=False)
    (folder / "croissant.json").write_text(words + "\n", encoding="utf-8")
