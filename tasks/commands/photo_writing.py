"""Writing one restored photograph: as its original was stored, with a mark of what was done."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from remint.images import provenance
from tasks.commands.photo import IFDS, Photo, PhotoError, same_bytes

LOSSLESS_TIFF = ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "lzma", "zstd")


def save(
    photo: Photo,
    pixels: np.ndarray,
    path: Path,
    *,
    file_format: str,
    term: provenance.Term,
    quality: int,
) -> tuple[str, ...]:
    """Write restored `pixels` (uint8 HWC, upright) to `path` and return notes on what was lost.

    file_format: Pillow's name. quality: 1..100 of lossy formats. The file carries the IPTC mark
    `term` where its format has a place for one. Raises PhotoError where that can't be written.
    """
    if file_format not in Image.SAVE:
        raise PhotoError(f"{file_format} files can be read but not written; convert it to PNG")
    stored = _stored(pixels, photo)
    marks, notes = _marks(photo, file_format, term)
    options = {**_kept(photo, file_format, quality), **marks}
    _complete(options, photo, file_format)
    try:
        stored.save(path, file_format, **options)
    except (OSError, KeyError, ValueError, TypeError, struct.error) as error:
        raise PhotoError(f"it can't be written as {file_format} ({error})") from None
    return photo.notes + notes


def sideways(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo `upright`: return HW[C] pixels as a file of that EXIF orientation stores them."""
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels)


def _stored(pixels: np.ndarray, photo: Photo) -> Image.Image:
    planes = [pixels] if photo.alpha is None else [pixels, photo.alpha[:, :, None]]
    whole = sideways(np.concatenate(planes, axis=2), photo.orientation)
    return Image.fromarray(whole[:, :, 0] if whole.shape[2] == 1 else whole)


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


def _kept(photo: Photo, file_format: str, quality: int) -> dict[str, Any]:
    kept = {name: value for name, value in photo.keep.items() if name != "compression"}
    if file_format in ("JPEG", "MPO"):
        return {**kept, "quality": quality, "subsampling": 0}
    if file_format in ("WEBP", "AVIF"):
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
