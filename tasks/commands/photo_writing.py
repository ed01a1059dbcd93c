"""Writing one restored photograph: as its original was stored, with a mark of what was done."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from remint.images import provenance
from remint.images.layers import DEEP_TO_EIGHT, to_eight_bits
from tasks.commands import deep_files
from tasks.commands.photo import IFDS, Photo, PhotoError, same_bytes

LOSSLESS_TIFF = ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "lzma", "zstd")
DEEP_FORMATS = {"PNG": deep_files.write_png, "TIFF": deep_files.write_tiff}
OPAQUE = ("JPEG", "MPO", "PPM")
GIF_HOLDS = "GIF holds 256 colours and no half-transparency: others were changed"
LOSSY = 95  # where the input tells no quality
LEAST = 90  # below it, compression would put back what was taken away
# Luminance at quality 50, in the order of the file's zigzag (ITU-T T.81, table K.1)
STANDARD = np.array(
    [
        *(16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40),
        *(26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51),
        *(56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87),
        *(95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99),
    ]
)


def save(
    photo: Photo,
    pixels: np.ndarray,
    file: BinaryIO,
    *,
    file_format: str,
    term: provenance.Term,
    quality: int | None,
    lossless: bool = False,
) -> tuple[str, ...]:
    """Write restored `pixels` (uint8 or uint16 HWC, upright) and return notes on what was lost.

    file_format: Pillow's name. quality: 1..100 of lossy formats, None that of the input, but at
    least 90. The file carries the IPTC mark `term` where its format has a place for one. Raises
    PhotoError where that can't be written.
    """
    if file_format not in Image.SAVE:
        raise PhotoError(f"{file_format} files can be read but not written; convert it to PNG")
    planes, lost = _planes(pixels, photo, file_format)
    marks, notes = _marks(photo, file_format, term)
    options = {**_kept(photo, file_format, quality), **marks}
    if lossless and file_format == "WEBP":
        options |= {"lossless": True, "exact": True}
    _complete(options, photo, file_format)
    try:
        if planes.dtype == np.uint16 and planes.shape[2] > 1:
            DEEP_FORMATS[file_format](planes, file, options)
        else:
            flat = planes[:, :, 0] if planes.shape[2] == 1 else planes
            Image.fromarray(flat).save(file, file_format, **options)
    except (OSError, KeyError, ValueError, TypeError, struct.error) as error:
        raise PhotoError(f"it can't be written as {file_format} ({error})") from None
    return (*photo.layers.changes, *lost, *notes)


@contextmanager
def page_of(file: BinaryIO, pages: int) -> Iterator[BinaryIO]:
    """Yield what the next page is written to: the file, or a TIFF that links page to page."""
    if pages == 1:
        yield file
        return
    file.seek(0)
    with TiffImagePlugin.AppendingTiffWriter(file) as writer:
        yield writer
        writer.newFrame()


def quality_of(tables: dict[int, list[int]]) -> int | None:
    """Return the quality 1..100 whose standard luminance table is nearest to a JPEG's own.

    tables: as Pillow gives them; None where there is none. Scaled as libjpeg does (jcparam.c).
    """
    if not tables:
        return None
    qualities = np.arange(1, 101)
    scale = np.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)
    scaled = np.clip((np.outer(scale, STANDARD) + 50) // 100, 1, 255)
    given = np.sort(np.array(tables[min(tables)]))  # whatever order a reader gives them in
    return int(qualities[np.abs(np.sort(scaled, axis=1) - given).sum(axis=1).argmin()])


def sideways(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo `upright`: return HW[C] pixels as a file of that EXIF orientation stores them."""
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels)


def _planes(
    pixels: np.ndarray, photo: Photo, file_format: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return pixels and alpha as the file stores them, HWC, with a note where depth is lost.

    Raises PhotoError where the format has no place for transparency.
    """
    alpha = photo.layers.alpha
    if alpha is not None and file_format in OPAQUE:
        raise PhotoError(
            f"it has transparency, which {file_format} can't keep; name an output that ends in .png"
        )
    layers = [pixels] if alpha is None else [pixels, alpha[:, :, None]]
    lost: tuple[str, ...] = ()
    if pixels.dtype == np.uint16 and file_format not in DEEP_FORMATS:
        layers, lost = [to_eight_bits(layer) for layer in layers], (DEEP_TO_EIGHT,)
    planes = layers[0] if alpha is None else np.concatenate(layers, axis=2)
    if file_format == "GIF" and planes.shape[2] > 1:
        lost = (*lost, GIF_HOLDS)
    return sideways(planes, photo.layers.orientation), lost


def _marks(
    photo: Photo, file_format: str, term: provenance.Term
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return Pillow's keywords for the marked XMP packet, with notes where it was not simple."""
    if file_format not in provenance.FORMATS:
        return {}, (f"{file_format} has no place for a mark",)
    try:
        return provenance.save_options(file_format, provenance.mark(photo.xmp, term)), ()
    except provenance.XmpError:
        fresh = provenance.mark(None, term)
        return provenance.save_options(file_format, fresh), ("unreadable XMP was written anew",)


def _kept(photo: Photo, file_format: str, quality: int | None) -> dict[str, Any]:
    quality = quality or max(LEAST, quality_of(photo.tables) or LOSSY)
    kept = {name: value for name, value in photo.keep.items() if name != "compression"}
    if file_format in ("JPEG", "MPO"):
        return {**kept, "quality": quality, "subsampling": 0}
    if file_format in ("WEBP", "AVIF", "HEIF"):
        return {**kept, "quality": quality}
    if file_format == "TIFF":
        before = photo.keep.get("compression", "")
        return {**kept, "compression": before if before in LOSSLESS_TIFF else "tiff_adobe_deflate"}
    return kept


def _complete(options: dict[str, Any], photo: Photo, file_format: str) -> None:
    """Add to the PNG chunks or TIFF tags that carry the mark what else belongs there."""
    if file_format == "TIFF":
        described = Image.Exif()
        described.load(options.pop("exif", b""))
        described.update(
            {tag: same_bytes(text) for tag, text in described.items() if isinstance(text, str)}
        )
        described[provenance.TIFF_TAG] = options["tiffinfo"][provenance.TIFF_TAG]
        options["tiffinfo"] = described
        if any(tag in described for tag in IFDS):  # libtiff's writer has no place for them
            options["compression"] = "raw"
    if file_format == "PNG":
        for name, data in photo.png_chunks:
            options["pnginfo"].add(name, data)
        for key, text in photo.texts.items():
            options["pnginfo"].add_itxt(key, text)
