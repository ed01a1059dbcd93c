"""Reading one photograph: pixels for the model, and all that must survive beside them.

errors:
    PhotoError   no image, an animation, or a format that only reads
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, TiffImagePlugin

from remint.images import imagefile, provenance
from remint.images.layers import Layers, layers_of, without_colour

# TIFF tags that describe the photograph; the others describe how its pixels were stored.
KEPT_TIFF_TAGS = (270, 271, 272, 305, 306, 315, 316, 33432, 33723, 34665, 34853)
IFDS = (34665, 34853)  # folders of tags of their own: Exif and GPS
SINGLE_FRAME_FORMATS = ("MPO", "HEIF")  # further frames are previews or depth of the first one
PAGED = "TIFF"


class PhotoError(ValueError):
    """A file is no photograph that can be restored; the sentence says what it is."""


@dataclass(frozen=True)
class Photo:
    """A decoded photograph, or one page of several.

    layers: its pixels, uint8 or uint16, upright, and its alpha. pages: how many the file holds.
    keep: what Pillow's save takes as it is (exif, icc_profile, dpi, ...). tables: quantisation
    tables of a JPEG file.
    """

    layers: Layers
    file_format: str
    pages: int
    keep: dict[str, Any]
    xmp: bytes | None
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    texts: dict[str, str] = field(default_factory=dict)
    tables: dict[int, list[int]] = field(default_factory=dict)


def pages(path: Path, max_pixels: int) -> Iterator[Photo]:
    """Yield the photograph at `path`, page by page where a TIFF holds several.

    Raises PhotoError with the reason.
    """
    page, count = 0, 1
    while page < count:
        photo = _page(path, max_pixels, page)
        yield photo
        page, count = page + 1, photo.pages


def in_colour(path: Path, max_pixels: int) -> bool:
    """Say from its headers whether a file stores colour on any of its pages.

    Raises PhotoError with the reason.
    """
    count, page = 1, 0
    try:
        while page < count:
            with imagefile.opened(path, max_pixels, page) as image:
                if not without_colour(image):
                    return True
                page, count = page + 1, _pages(image)
    except imagefile.ImageFileError as error:
        raise PhotoError(f"it {error}") from error
    return False


def _page(path: Path, max_pixels: int, page: int) -> Photo:
    """Read one page; Pillow's own copy of the pixels goes with this function's end."""
    try:
        with imagefile.opened(path, max_pixels, page) as image:
            return _photo(image, _pages(image))
    except imagefile.ImageFileError as error:
        raise PhotoError(f"it {error}") from error


def _pages(image: Image.Image) -> int:
    frames = 1 if image.format in SINGLE_FRAME_FORMATS else getattr(image, "n_frames", 1)
    if frames > 1 and image.format != PAGED:
        raise imagefile.ImageFileError(
            f"holds {frames} frames; save the ones to restore as single images"
        )
    return frames


def _photo(image: Image.Image, count: int) -> Photo:
    layers = layers_of(image)
    return Photo(
        layers=layers,
        file_format="JPEG" if image.format == "MPO" else str(image.format),
        pages=count,
        keep=_keep(image, layers.in_profile),
        xmp=provenance.packet_of(image),
        png_chunks=tuple(_png_chunks(image)) if layers.in_profile else (),
        texts=_texts(image),
        tables=getattr(image, "quantization", {}) if image.format in ("JPEG", "MPO") else {},
    )


def _keep(image: Image.Image, in_profile: bool) -> dict[str, Any]:
    """Return Pillow save keywords for what describes the picture, not its storage."""
    keep = {key: image.info[key] for key in ("dpi", "comment") if image.info.get(key)}
    if image.info.get("icc_profile") and in_profile:
        keep["icc_profile"] = image.info["icc_profile"]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        keep["compression"] = image.info.get("compression", "raw")
        keep["exif"] = _tiff_exif(image)
    elif image.info.get("exif"):
        keep["exif"] = without_thumbnail(image.info["exif"])
    return keep


def _tiff_exif(image: Image.Image) -> bytes:
    exif = image.getexif()
    kept = Image.Exif()
    for tag in KEPT_TIFF_TAGS:
        if tag in exif:
            kept[tag] = exif.get_ifd(tag) if tag in IFDS else same_bytes(exif[tag])
    return kept.tobytes() if len(kept) else b""


def same_bytes(value: Any) -> Any:
    """Undo Pillow's Latin-1 reading of text: its writing knows ASCII only, files hold UTF-8."""
    return value.encode("latin-1", "replace") if isinstance(value, str) else value


def without_thumbnail(exif: bytes) -> bytes:
    """Return EXIF bytes whose IFD0 links to no IFD1, which holds a thumbnail of the damage.

    All offsets stay, so maker notes survive (TIFF 6.0, section 2: the link follows the entries).
    """
    start = 6 if exif.startswith(b"Exif\x00\x00") else 0
    order = {b"II": "<", b"MM": ">"}.get(exif[start : start + 2])
    if order is None or len(exif) < start + 8:
        return exif
    (first,) = struct.unpack_from(order + "I", exif, start + 4)
    if start + first + 2 > len(exif):
        return exif
    (entries,) = struct.unpack_from(order + "H", exif, start + first)
    link = start + first + 2 + 12 * entries
    return exif[:link] + b"\x00" * 4 + exif[link + 4 :] if link + 4 <= len(exif) else exif


def _png_chunks(image: Image.Image) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks that say how a PNG's values become light (PNG 1.2, section 4.2.2)."""
    if image.format != "PNG":
        return
    if "gamma" in image.info:
        yield b"gAMA", struct.pack(">I", round(image.info["gamma"] * 100_000))
    if "chromaticity" in image.info:
        yield b"cHRM", struct.pack(">8I", *(round(v * 100_000) for v in image.info["chromaticity"]))
    if "srgb" in image.info:
        yield b"sRGB", bytes([image.info["srgb"]])


def _texts(image: Image.Image) -> dict[str, str]:
    texts = getattr(image, "text", {}) if image.format == "PNG" else {}
    return {key: str(text) for key, text in texts.items() if key != provenance.PNG_KEYWORD}
