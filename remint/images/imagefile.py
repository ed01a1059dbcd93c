"""Images as people have them, decoded to uint8 HWC in sRGB, and PNG written the same every time.

The rules of `decode`, and of `layers_of` beneath it: EXIF orientation is applied; of an animation
or a multi-page file the first frame counts; files without colour (1, L, LA, 16-bit and float grey,
palettes of greys) give one channel, all others three; alpha is composited over a grey background;
16 bits are divided by 257 and rounded, float grey must lie in 0..1; an ICC profile that fits the
pixels' colour space leads to sRGB, one that is broken or fits another space is ignored, as viewers
do; CMYK without a profile is converted as if its inks were ideal. HEIC needs the extra `heic`.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from remint.images.layers import ImageFileError, layers_of, to_eight_bits, without_colour

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "ImageFileError",
    "decode",
    "decode_stored",
    "encode_png",
    "opened",
    "read",
    "register_heif",
    "stored_in_colour",
    "to_channels",
]

# Pillow's other readers call outside programs (EPS, WMF) or guess without a magic number (TGA).
FORMATS = (
    *("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"),
    *("JPEG2000", "PPM", "ICO", "PSD", "SGI", "QOI"),
)
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
MAX_PIXELS = 100_000_000
PIXEL_CEILING = 178_956_970  # of a set's images: Pillow's own
WHITE = 255


def read(path: Path, *, max_pixels: int = MAX_PIXELS, background: int = WHITE) -> np.ndarray:
    """Decode the file at `path` as `decode` does; a file that cannot be opened is an error too."""
    with opened(path, max_pixels) as image:
        return _flat(image, background)


def decode(
    data: bytes | BinaryIO, *, max_pixels: int = MAX_PIXELS, background: int = WHITE
) -> np.ndarray:
    """Decode an encoded image to uint8 HWC, 1 or 3 channels, sRGB, by the rules of this module.

    max_pixels: files that declare more are refused before they are unpacked; background: grey
    value 0..255 under transparent pixels. Raises ImageFileError with the reason.
    """
    with opened(io.BytesIO(data) if isinstance(data, bytes) else data, max_pixels) as image:
        return _flat(image, background)


@contextmanager
def opened(file: Path | BinaryIO, max_pixels: int, frame: int = 0) -> Iterator[Image.Image]:
    """Yield a file's image at one of its frames, the header read and the pixels not.

    Whatever goes wrong, also with what the block decodes of it, is raised as ImageFileError.
    """
    with _explained(), ExitStack() as stack:
        if isinstance(file, Path):
            try:
                file = stack.enter_context(file.open("rb"))
            except OSError as error:
                reason = f"cannot be opened ({error.strerror or error})"
                raise ImageFileError(reason) from error
        image = Image.open(file, formats=_formats(file))
        if frame:
            image.seek(frame)
        if image.width * image.height > max_pixels:
            raise ImageFileError(
                f"declares {image.width} x {image.height} pixels, above the limit of "
                f"{max_pixels:,}; shrink it or raise max_pixels (--max-pixels)"
            )
        yield image


def stored_in_colour(path: Path) -> bool:
    """Say from its header alone whether a file stores colour; ImageFileError if it is no image.

    A palette counts as colour unless all its entries are grey.
    """
    with opened(path, PIXEL_CEILING) as image:
        return not without_colour(image)


def _flat(image: Image.Image, background: int) -> np.ndarray:
    layers = layers_of(image)
    pixels = to_eight_bits(layers.pixels)
    alpha = None if layers.alpha is None else to_eight_bits(layers.alpha)
    return _composited(pixels, alpha, background)


def _formats(file: BinaryIO) -> tuple[str, ...]:
    """Return the formats to look for; refuse by name what is empty, a PDF, or HEIC unread here."""
    head = file.read(12)
    file.seek(0)
    if not head:
        raise ImageFileError("is empty (0 bytes)")
    if head.startswith(b"%PDF"):
        raise ImageFileError("is a PDF, which Remint does not read; save its pages as PNG or TIFF")
    if head[4:8] != b"ftyp" or head[8:12] not in HEIC_BRANDS:
        return FORMATS
    register_heif()
    return (*FORMATS, "HEIF")


def register_heif() -> None:
    """Let Pillow read and write HEIC; ImageFileError where the extra `heic` is not installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        reason = "is a HEIC image, which needs pillow-heif; pip install 'remint[heic]'"
        raise ImageFileError(reason) from None
    register_heif_opener()


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
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # `opened` has its own
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (ImageFileError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageFileError(f"is not an image of a known format ({', '.join(FORMATS)})") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageFileError(f"is truncated or broken ({reason})") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _composited(pixels: np.ndarray, alpha: np.ndarray | None, background: int) -> np.ndarray:
    if alpha is None:
        return np.ascontiguousarray(pixels)
    weight = alpha[:, :, None].astype(np.uint32)
    mixed = pixels * weight + background * (255 - weight)
    return ((mixed + 127) // 255).astype(np.uint8)
