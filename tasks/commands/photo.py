"""Reading one photograph: pixels for the model, and all that must survive beside them.

errors:
    PhotoError   no image, several frames, pixels of an unknown range, or a format that only reads
"""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin, UnidentifiedImageError

from remint.images import imagefile, provenance

ORIENTATION = ExifTags.Base.Orientation
# TIFF tags that describe the photograph; the others describe how its pixels were stored.
KEPT_TIFF_TAGS = (270, 271, 272, 305, 306, 315, 316, 33432, 33723, 34665, 34853)
IFDS = (34665, 34853)  # folders of tags of their own: Exif and GPS
# Formats that are looked for, whatever a file is called: none that hands it to another program
READ = imagefile.FORMATS
SINGLE_FRAME_FORMATS = ("MPO",)  # further frames are previews or depth of the first one


class PhotoError(ValueError):
    """A file is no photograph that can be restored; the sentence says what it is."""


@dataclass(frozen=True)
class Photo:
    """A decoded photograph.

    pixels: uint8 HWC, C = 1 or 3, upright. alpha: uint8 HW upright, or None. orientation: the
    EXIF value 1..8 in which the file stores its pixels. keep: what Pillow's save takes as it is
    (exif, icc_profile, dpi, ...). notes: what could not be kept, in words.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    file_format: str
    orientation: int
    keep: dict[str, Any]
    xmp: bytes | None
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    texts: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def load(path: Path, max_pixels: int) -> Photo:
    """Read the photograph at `path`. Raises PhotoError, or OSError when it can't be opened."""
    with _pixel_limit(max_pixels), _open(path) as image:
        _check(image, max_pixels)
        notes = _notes(image)
        try:
            image.load()
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise PhotoError(f"it can't be decoded whole ({error})") from None
        orientation, notes = _orientation(image, notes)
        pixels, alpha = _split_alpha(image)
        return Photo(
            pixels=upright(pixels, orientation),
            alpha=None if alpha is None else upright(alpha, orientation),
            file_format="JPEG" if image.format == "MPO" else str(image.format),
            orientation=orientation,
            keep=_keep(image),
            xmp=provenance.packet_of(image),
            png_chunks=tuple(_png_chunks(image)),
            texts=_texts(image),
            notes=notes,
        )


def _orientation(image: Image.Image, notes: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """Return the EXIF orientation, 1 with a note where the EXIF block is broken."""
    try:
        return int(image.getexif().get(ORIENTATION, 1)), notes
    except Exception as error:  # parsers of EXIF throw what they like at a broken block
        return 1, (*notes, f"EXIF can't be read ({type(error).__name__}): taken as upright")


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn HW[C] pixels stored in an EXIF orientation 1..8 upright (Exif 2.32, tag 274)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


@contextmanager
def _pixel_limit(max_pixels: int) -> Iterator[None]:
    """Let Pillow open up to `max_pixels`; what it only warns of is an error or no matter here."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _open(path: Path) -> Image.Image:
    if path.stat().st_size == 0:
        raise PhotoError("it is empty")
    try:
        return Image.open(path, formats=READ)
    except UnidentifiedImageError:
        raise PhotoError("it is no image of a known format") from None
    except Image.DecompressionBombError:
        raise PhotoError("it claims more pixels than --max-pixels allows") from None
    except (SyntaxError, ValueError, EOFError, struct.error) as error:
        raise PhotoError(f"its header can't be read ({error})") from None


def _check(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise PhotoError(f"it has {image.width}x{image.height} pixels, more than --max-pixels")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format not in SINGLE_FRAME_FORMATS:
        raise PhotoError(f"it holds {frames} frames; save the ones to restore as single images")
    if image.mode in ("I", "F"):
        raise PhotoError(f"its pixels ({image.mode}, 32 bits) have no known white; save 8 or 16")


def _notes(image: Image.Image) -> tuple[str, ...]:
    """Say what the pixels lose; to be asked before they are loaded."""
    raw = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    found = {
        "16 bits a channel became 8": image.mode.startswith("I;16") or "16" in raw,
        "CMYK became RGB": image.mode == "CMYK",
        "black and white became grey": image.mode == "1",
    }
    return tuple(note for note, true in found.items() if true)


def _split_alpha(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return pixels (uint8 HWC, C = 1 or 3) and alpha (uint8 HW or None) in stored orientation."""
    if image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.float64)
        return np.rint(deep / 257.0).astype(np.uint8)[:, :, None], None
    see_through = "transparency" in image.info or image.mode in ("LA", "La", "RGBa", "PA", "RGBA")
    grey = image.mode in ("1", "L", "LA", "La") or _is_grey_palette(image)
    mode = ("L" if grey else "RGB") + ("A" if see_through else "")
    pixels = np.array(_cmyk_to_rgb(image) if image.mode == "CMYK" else image.convert(mode))
    if not see_through:
        return (pixels[:, :, None] if grey else pixels), None
    return pixels[:, :, :-1], pixels[:, :, -1]


def _is_grey_palette(image: Image.Image) -> bool:
    if image.mode not in ("P", "PA"):
        return False
    colours = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _cmyk_to_rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not profile:
        return image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        screen = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, screen, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        raise PhotoError(f"its CMYK profile can't be used ({error})") from None
    assert converted is not None, "only in-place conversion returns None"
    return converted


def _keep(image: Image.Image) -> dict[str, Any]:
    """Return Pillow save keywords for what describes the picture, not its storage."""
    keep = {key: image.info[key] for key in ("dpi", "comment") if image.info.get(key)}
    if image.info.get("icc_profile") and image.mode != "CMYK":
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
