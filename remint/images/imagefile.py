"""Images as people have them, decoded to uint8 HWC in sRGB, and PNG written the same every time.

The rules of `decode`: EXIF orientation is applied; of an animation or a multi-page file the first
frame counts; modes without colour (1, L, LA, 16-bit and float grey) give one channel, all others
three; alpha is composited over a grey background; 16-bit grey is scaled by 255/65535 and rounded
(of 16-bit colour the decoder gives the high byte), float grey must lie in 0..1; an ICC profile that
fits the pixels' colour space leads to sRGB, one that is broken or fits another space is ignored, as
viewers do; CMYK without a profile is converted as if its inks were ideal.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

# Pillow's other readers call outside programs (EPS, WMF) or guess without a magic number (TGA).
FORMATS = (
    *("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"),
    *("JPEG2000", "PPM", "ICO", "PSD", "SGI", "QOI"),
)
MAX_PIXELS = 100_000_000
PIXEL_CEILING = 178_956_970  # Pillow itself refuses above this
WHITE = 255
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}


class ImageFileError(ValueError):
    """An image file that cannot be read right; the text is the reason, without the name."""


def read(path: Path, *, max_pixels: int = MAX_PIXELS, background: int = WHITE) -> np.ndarray:
    """Decode the file at `path` as `decode` does; a file that cannot be opened is an error too."""
    try:
        with path.open("rb") as file:
            return decode(file, max_pixels=max_pixels, background=background)
    except OSError as error:
        raise ImageFileError(f"cannot be opened ({error.strerror or error})") from error


def decode(
    data: bytes | BinaryIO, *, max_pixels: int = MAX_PIXELS, background: int = WHITE
) -> np.ndarray:
    """Decode an encoded image to uint8 HWC, 1 or 3 channels, sRGB, by the rules of this module.

    max_pixels: files that declare more are refused before they are unpacked; background: grey
    value 0..255 under transparent pixels. Raises ImageFileError with the reason.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    with _explained():
        image = _opened(file, max_pixels)
        image.load()
        upright = _upright(image)
        pixels, alpha = _layers(upright, image.info.get("icc_profile"))
    return _composited(pixels, alpha, background)


def stored_in_colour(path: Path) -> bool:
    """Say from its header alone whether a file stores colour; ImageFileError if it is no image.

    A palette counts as colour unless all its entries are grey.
    """
    try:
        with path.open("rb") as file, _explained():
            image = _opened(file, PIXEL_CEILING)
            palette = image.getpalette("RGB") if image.mode in ("P", "PA") else None
            if palette is not None:
                return palette[0::3] != palette[1::3] or palette[1::3] != palette[2::3]
            return not _without_colour(image.mode)
    except OSError as error:
        raise ImageFileError(f"cannot be opened ({error.strerror or error})") from error


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Turn uint8 HWC into `channels` (1 or 3): full-range BT.601 luma, or grey repeated."""
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    return np.array(Image.fromarray(image).convert("L"))[:, :, None]


def encode_png(image: np.ndarray) -> bytes:
    """Encode uint8 HWC (1 or 3 channels) or HW as PNG; equal pixels give equal bytes."""
    pixels = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def decode_stored(data: bytes) -> np.ndarray:
    """Decode bytes made by `encode_png` to uint8 HWC, 1 or 3 channels."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as file:
        pixels = np.array(file)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what a decoder throws at hostile data, which is anything, into a reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (ImageFileError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageFileError(f"is not an image of a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise ImageFileError(f"declares over {PIXEL_CEILING:,} pixels; shrink it") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageFileError(f"is truncated or broken ({reason})") from error


def _opened(file: BinaryIO, max_pixels: int) -> Image.Image:
    if not file.read(1):
        raise ImageFileError("is empty (0 bytes)")
    file.seek(0)
    image = Image.open(file, formats=FORMATS)
    if image.width * image.height > max_pixels:
        raise ImageFileError(
            f"declares {image.width} x {image.height} pixels, above the limit of {max_pixels:,}; "
            "shrink it or raise max_pixels"
        )
    return image


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # unreadable EXIF says nothing about the pixels
        orientation = None
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _without_colour(mode: str) -> bool:
    return mode in ("1", "L", "LA", "La", "F") or mode.startswith("I")


def _layers(image: Image.Image, profile: bytes | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return uint8 HWC pixels and the uint8 HW alpha, None where the image is opaque."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _deep(image)
    grey = _without_colour(image.mode)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if grey else "RGBA")
        alpha = np.array(image.getchannel("A"))
    if image.mode not in ("CMYK", "LAB"):
        image = image.convert("L" if grey else "RGB")
    pixels = np.array(_in_srgb(image, profile))
    return (pixels[:, :, None] if pixels.ndim == 2 else pixels), alpha


def _deep(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Scale 16-bit integer or float grey to uint8 HW1; the colour key, if any, to alpha."""
    values = np.array(image).astype(np.float32)
    top = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):
        raise ImageFileError(
            f"has grey values {values.min():g}..{values.max():g} where its type allows "
            f"0..{top:g} only; convert it to 8 or 16 bits"
        )
    key = image.info.get("transparency")
    alpha = np.where(values == key, 0, 255).astype(np.uint8) if isinstance(key, int) else None
    return np.rint(values * np.float32(255.0 / top)).astype(np.uint8)[:, :, None], alpha


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return L or RGB in sRGB from an image of mode L, RGB, CMYK or LAB."""
    source = _profile(image.mode, profile)
    if source is None:
        return image if image.mode == "L" else image.convert("RGB")
    try:
        managed = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except ImageCms.PyCMSError:
        return image if image.mode == "L" else image.convert("RGB")
    assert managed is not None
    return managed.convert("L") if image.mode == "L" else managed


def _profile(mode: str, profile: bytes | None) -> ImageCms.ImageCmsProfile | None:
    """Return the profile to convert from, None where there is nothing to convert."""
    if mode == "LAB":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    try:
        found = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        fits = found.profile.xcolor_space.strip() == _SPACES[mode]
        standard = "sRGB" in ImageCms.getProfileDescription(found)
    except (OSError, ImageCms.PyCMSError):
        return None
    return found if fits and not standard else None


def _composited(pixels: np.ndarray, alpha: np.ndarray | None, background: int) -> np.ndarray:
    if alpha is None:
        return np.ascontiguousarray(pixels)
    weight = alpha[:, :, None].astype(np.uint32)
    mixed = pixels * weight + background * (255 - weight)
    return ((mixed + 127) // 255).astype(np.uint8)
