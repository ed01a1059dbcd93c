"""Which pictures a command takes and where each goes: planned before any model is loaded."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from remint.core.atomic import PARTIAL
from remint.images import imagefile
from remint.ingest.items import unicode_text

LISTED = 5  # of the files that are left out
HEIF_SUFFIXES = (".heic", ".heif")
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".avif"),
    *HEIF_SUFFIXES,
    *(".tif", ".tiff", ".bmp", ".dib", ".gif", ".jp2", ".j2k", ".jpx"),
    *(".pbm", ".pgm", ".ppm", ".pnm"),
)


@dataclass(frozen=True)
class RestoreJob:
    """One photograph: where it is, where it goes, and how a sentence calls it."""

    source: Path
    target: Path
    name: str


def plan(
    source: Path, out: Path, failures: list[str] | None = None
) -> tuple[list[RestoreJob], list[str]]:
    """Return the jobs and the names of files in the folder that are left out as no images.

    failures: takes a sentence for each folder that can't be read.
    Raises ValueError where `source` is absent or without images, or `out` lies inside it.
    """
    if source.is_dir():
        return _plan_folder(source, out, [] if failures is None else failures)
    if not source.exists():
        raise ValueError(f"{source} does not exist; give an image or a folder of images")
    if out.is_dir() or not out.suffix:
        out = out / source.name
    elif out.suffix.lower() in HEIF_SUFFIXES:
        _need_heif(out)
    elif out.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{out}: images with the ending {out.suffix} can't be written; known endings: "
            f"{' '.join(SUFFIXES)}"
        )
    return [RestoreJob(source, out, source.name)], []


def _need_heif(out: Path) -> None:
    """Let Pillow write HEIC; ValueError where it can't."""
    try:
        imagefile.register_heif()
    except imagefile.ImageFileError as error:
        raise ValueError(f"{out} {error}; or name an output that ends in .png") from None


def _plan_folder(
    source: Path, out: Path, failures: list[str]
) -> tuple[list[RestoreJob], list[str]]:
    if out.resolve().is_relative_to(source.resolve()):
        raise ValueError(
            f"{out} lies inside {source}, so the next run would restore its own output; "
            "choose a folder outside"
        )
    if out.is_file():
        raise ValueError(f"{out} is a file; give a folder, since {source} is one")
    files = [path.relative_to(source) for path in walk(source, failures)]
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not images:
        raise ValueError(f"{source} holds no images; known endings: {' '.join(SUFFIXES)}")
    others = [unicode_text(str(path)) for path in files if path.suffix.lower() not in SUFFIXES]
    return [RestoreJob(source / path, out / path, str(path)) for path in images], others


def make_folder(folder: Path) -> None:
    """Make a folder for what is written; ValueError, with the reason, where that can't be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{folder} can't be made a folder ({error.strerror}); name another OUT"
        ) from None


def reason_of(error: BaseException) -> str:
    """Return why a picture failed in one line; of a hidden file that can't be written, where."""
    if isinstance(error, OSError) and str(error.filename).endswith(PARTIAL):
        return f"{Path(error.filename).parent} can't be written to ({error.strerror})"
    return " ".join(str(error).split()) or type(error).__name__


def left_out(others: list[str]) -> Iterator[str]:
    """Yield sentences on the files of a folder that are no images; PDFs have one of their own."""
    pdfs = [name for name in others if name.lower().endswith(".pdf")]
    if pdfs:
        yield f"{len(pdfs):,} PDF left out, which Remint does not read; save pages as PNG or TIFF"
    rest = [name for name in others if name not in pdfs]
    if rest:
        more = f" and {len(rest) - LISTED:,} more" if len(rest) > LISTED else ""
        yield f"left out as no images: {', '.join(rest[:LISTED])}{more}"


def walk(folder: Path, failures: list[str]) -> Iterator[Path]:
    """Yield the files below `folder`, sorted, hidden ones left out.

    Links to folders are followed, each real folder once: a loop ends where it closes. A folder
    that can't be read becomes a sentence in `failures`.
    """

    def note(error: OSError) -> None:
        failures.append(f"{error.filename}: the folder can't be read ({error.strerror})")

    seen = {real_path(folder)}
    for here, folders, files in os.walk(folder, followlinks=True, onerror=note):
        fresh = []
        for name in sorted(folders):
            real = real_path(Path(here) / name)
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                fresh.append(name)
        folders[:] = fresh
        yield from (Path(here) / name for name in sorted(files) if not name.startswith("."))


def real_path(path: Path) -> Path:
    """Return where links lead; a loop of links leads to itself."""
    return Path(os.path.realpath(path))
