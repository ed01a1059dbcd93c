"""`remint restore`: one's own photographs, files or whole folders, restored and marked."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import numpy as np
from annotated_types import Ge, Le
from PIL import Image

from remint.core import ranges
from remint.core.atomic import replaced_file
from remint.core.device import Precision
from remint.core.ranges import Share
from remint.images import provenance
from remint.restorer import suitability
from remint.restorer.doubt import Doubt, promise
from remint.restorer.ensemble import NOTE, ensembled
from remint.restorer.restorer import Restorer, read_card
from remint.restorer.shipped import members, suited
from remint.restorer.tiling import Place, check_tiles, restore_image
from tasks.commands import doubt_files, mask_files, photo, photo_writing
from tasks.commands.limits import MAX_PIXELS, TILE
from tasks.commands.plans import RestoreJob, left_out, make_folder, plan, real_path, reason_of
from tasks.stage.console import progress, say

T = TypeVar("T")
WATCHED_PIXELS = 2**22  # from here on a picture shows its own progress


@dataclass(frozen=True)
class RestoreOptions:
    """How `remint restore` works; the fields are its options.

    model: a model's folder, or one of models, of which each picture gets the one for its channels.
    interpolation: 0 true to the pixels .. 1 adversarial. tile, overlap: px. None: the model's own.
    quality: 1..100 of lossy formats, None about that of the input. mark: IPTC term of the outputs,
    None by what is done. max_pixels: larger images are refused. mask: a picture of the one image's
    size; where it is white is filled, the rest stays as it is. ensemble: the mean over the eight
    turns and flips. precision: of the network, as in `Restorer`. doubt: a map of doubt is written
    beside each picture. until: of time.monotonic(), when a picture is given up, between two tiles.
    """

    model: Path
    interpolation: Share | None = None
    device: str = "auto"
    tile: Annotated[int, Ge(1), Le(65_536)] = TILE
    overlap: Annotated[int, Ge(0), Le(32_768)] | None = None
    quality: Annotated[int, Ge(1), Le(100)] | None = None
    mark: provenance.Term | None = None
    max_pixels: Annotated[int, Ge(1), Le(10**10)] = MAX_PIXELS
    force: bool = False
    mask: Path | None = None
    ensemble: bool = False
    precision: Precision = "auto"
    doubt: bool = False
    until: float | None = None

    def __post_init__(self) -> None:
        check_tiles(self.tile, self.overlap or 0)
        ranges.check(self)
        if self.doubt and (self.ensemble or self.mask is not None):
            other = "--ensemble" if self.ensemble else "--mask"
            raise ValueError(
                f"--doubt and {other} do not go together: the map was made for the model's own "
                "answer to a whole picture; leave one of the two out"
            )


def restore(source: Path, out: Path, options: RestoreOptions) -> int:
    """Restore `source` (a file, or a folder with all below it) into `out`; return failures.

    A bad file is listed and skipped. Raises ValueError when nothing can be done at all.
    """
    if options.mask is not None and source.is_dir():
        raise ValueError(f"--mask is for one picture and {source} is a folder; name the picture")
    failures: list[str] = []
    jobs, others = plan(source, out, failures)
    jobs = doubt_files.apart(jobs, failures) if options.doubt else jobs
    models = Models(options)
    kept = [job.source for job in jobs] + ([options.mask] if options.mask else [])
    sources, unreadable = set(map(real_path, kept)), len(failures)
    notes: Counter[str] = Counter()
    for job in progress(jobs, label="restore"):
        try:
            notes.update(restore_one(job, models.of(job), options, sources))
        except Exception as error:  # decoders throw what they like at a broken file
            failures.append(f"{job.name}: {reason_of(error)}")
    _tell(len(jobs) - len(failures) + unreadable, out, notes, others)
    for sentence in models.promises:
        say(f"doubt: {sentence}")
    for failure in failures:
        print(f"not restored: {failure}", file=sys.stderr)
    return len(failures)


class Loaded(NamedTuple):
    """A restorer, and its head that says how sure it is where that was asked for."""

    restorer: Restorer
    doubt: Doubt | None = None


class Models:
    """Loads the models that pictures need, each once."""

    def __init__(self, options: RestoreOptions) -> None:
        self.options = options
        self._loaded: dict[Path, Loaded] = {}
        self._used: set[Path] = set()
        for folder in members(options.model):  # one that is no good is known before any picture
            self._load(suited(options.model, read_card(folder)["channels"]))

    def of(self, job: RestoreJob) -> Loaded:
        """Return the model for one picture. Raises ValueError where there is none for it."""
        folder = self.options.model
        if folder not in self._loaded:  # it holds several
            limit = self.options.max_pixels
            colour = job.source.is_file() and photo.in_colour(job.source, limit)
            folder = suited(folder, 3 if colour else 1)
        self._used.add(folder)
        return self._load(folder)

    def _load(self, folder: Path) -> Loaded:
        if folder not in self._loaded:
            options = self.options
            restorer = Restorer.load(
                folder,
                interpolation=options.interpolation,
                device=options.device,
                precision=options.precision,
            )
            doubt = Doubt.load(folder, restorer) if options.doubt else None
            self._loaded[folder] = Loaded(restorer, doubt)
        return self._loaded[folder]

    @property
    def promises(self) -> list[str]:
        """What the maps of doubt that were made promise."""
        used = (model for folder, model in self._loaded.items() if folder in self._used)
        return [promise(model.restorer.card) for model in used if model.doubt]


def restore_one(
    job: RestoreJob, model: Loaded, options: RestoreOptions, sources: set[Path]
) -> tuple[str, ...]:
    """Restore one photograph, whole or not at all; return notes on what changed.

    sources: real paths that are never written to. Raises ValueError, or what a decoder throws.
    """
    restorer, doubt = model
    if not job.source.is_file():  # a pipe or a device would be waited for
        raise ValueError("it is no regular file")
    for written in [job.target, *([doubt_files.beside(job.target)] if doubt else [])]:
        if real_path(written) in sources:
            raise ValueError(f"{written} is one of the originals, which are never overwritten")
        if os.path.lexists(written) and not options.force:
            raise ValueError(f"{written} exists already; --force overwrites")
    make_folder(job.target.parent)
    # the map goes first: a picture that is there is whole, its map with it
    with replaced_file(job.target) as fresh, doubt_files.maps(doubt, job.target) as keep:
        return _write_pages(job, restorer, options, fresh, keep)


def _write_pages(
    job: RestoreJob,
    restorer: Restorer,
    options: RestoreOptions,
    target: Path,
    keep: doubt_files.Keep,
) -> tuple[str, ...]:
    """Restore page after page into one file, with one page in memory.

    keep: is given each page's pixels and its restored ones.
    """
    notes: dict[str, None] = {}
    with target.open("w+b") as file:
        for page in photo.pages(job.source, options.max_pixels):
            file_format = _format(job, page)
            if page.pages > 1 and file_format != photo.PAGED:
                raise ValueError(
                    f"it holds {page.pages} pages, which {file_format} can't; name an output that "
                    "ends in .tif"
                )
            pixels = _restored(job, page, restorer, options, file_format)
            keep(page.layers.pixels, pixels)
            with photo_writing.page_of(file, page.pages) as written:
                saved = photo_writing.save(
                    page,
                    pixels,
                    written,
                    file_format=file_format,
                    term=options.mark or _mark(options),
                    quality=options.quality,
                    lossless=options.mask is not None,
                )
            notes.update(dict.fromkeys(saved))
    return (*notes, NOTE) if options.ensemble else tuple(notes)


def _restored(
    job: RestoreJob,
    page: photo.Photo,
    restorer: Restorer,
    options: RestoreOptions,
    file_format: str,
) -> np.ndarray:
    """Return the restored pixels of a page, and say aloud what is odd about them."""
    given = page.layers.pixels
    for sentence in suitability.warnings_of(restorer.card, given):
        print(f"warning: {job.name}: {sentence}", file=sys.stderr)
    restore = partial(_tiled, job, restorer, options)
    if options.mask is not None:
        mask_files.check_format(file_format, page.pages, given.dtype == np.uint16)
        mask = mask_files.read_mask(options.mask, given.shape[:2], options.max_pixels)
        restored = mask_files.filled(given, mask, restore)
        # what fills a hole may be of any brightness, but for the grey that it had before
        odd = [mask_files.UNFILLED] if mask_files.is_unfilled(restored, mask) else []
    else:
        restored = restore(given)
        odd = list(suitability.drift_of(restorer.card, given, restored))
    for sentence in odd:
        print(f"warning: {job.name}: {sentence}", file=sys.stderr)
    return restored


def _mark(options: RestoreOptions) -> provenance.Term:
    return provenance.RESTORED if options.mask is None else provenance.FILLED


def _tiled(
    job: RestoreJob, restorer: Restorer, options: RestoreOptions, pixels: np.ndarray
) -> np.ndarray:
    watch = partial(progress, label=f"restore {job.name}")
    watched = watch if pixels.shape[0] * pixels.shape[1] >= WATCHED_PIXELS else iter
    network, tile = ensembled(restorer, options.ensemble), options.tile

    def bounded(tiles: Sequence[Place]) -> Iterator[Place]:
        return in_time(watched(tiles), len(tiles), options.until)

    check_time(options.until, "a page was still to be done")
    return restore_image(network, pixels, tile, restorer.overlap(tile, options.overlap), bounded)


def in_time(tiles: Iterable[T], total: int, until: float | None) -> Iterator[T]:
    """Yield the tiles; ValueError when one would begin after `until`."""
    for done, tile in enumerate(tiles):
        check_time(until, f"{done:,} of {total:,} tiles were done")
        yield tile


def check_time(until: float | None, standing: str) -> None:
    """Raise ValueError after `until`, with the inbox's option that gives more time."""
    if until is not None and time.monotonic() > until:
        raise ValueError(
            f"it took too long: {standing}; shrink it, or give it more --max-seconds and --again"
        )


def _format(job: RestoreJob, page: photo.Photo) -> str:
    """Return the original's format, or the one asked for by another ending of the target."""
    if job.source.suffix.lower() == job.target.suffix.lower():
        return page.file_format
    return Image.registered_extensions()[job.target.suffix.lower()]


def _tell(done: int, out: Path, notes: Counter[str], others: list[str]) -> None:
    say(f"restored {done:,} image{'s' if done != 1 else ''} into {out}")
    for note, count in sorted(notes.items()):
        say(f"note: {note} ({count:,} image{'s' if count != 1 else ''})")
    for sentence in left_out(others):
        say(f"note: {sentence}")
