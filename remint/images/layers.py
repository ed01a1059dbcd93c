"""From an opened image file to pixels as they are used everywhere: upright, sRGB, whole or deep.

The one decoder behind ingest, `remint restore` and the denoising protocol, so that a model meets
the colours that it was trained on. `imagefile` states the rules.
"""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms

ORIENTATION = ExifTags.Base.Orientation
DEEP = 65535  # the white of 16 bits
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # TIFF 6.0, PhotometricInterpretation
CMYK_TO_RGB = "CMYK became RGB"
LAB_TO_RGB = "CIELAB became RGB"
DEEP_TO_EIGHT = "16 bits a channel became 8"
_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}


class ImageFileError(ValueError):
    """An image file that cannot be read right; the text is the reason, without the name."""


@dataclass(frozen=True)
class Layers:
    """A decoded image.

    pixels: uint8, or uint16 where the file holds 16 bits a channel, HWC with C = 1 or 3, sRGB,
    upright. alpha: HW of the same type, upright, None where the image is opaque. orientation: the
    EXIF value 1..8 in which the file stores them. in_profile: whether the file's ICC profile still
    describes the pixels. changes: what decoding changed, in words.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    orientation: int
    in_profile: bool
    changes: tuple[str, ...] = ()


def layers_of(image: Image.Image) -> Layers:
    """Decode the current frame of an opened image; raises what a decoder throws at a broken one."""
    data = _whole_file(image) if _deep_colour(image) else None
    frame = image.tell()
    image.load()
    orientation, changes = _orientation(image)
    profile = image.info.get("icc_profile")
    pixels, alpha, in_profile, more = _decoded(image, data, frame, profile)
    return Layers(
        pixels=upright(pixels, orientation),
        alpha=None if alpha is None else upright(alpha, orientation),
        orientation=orientation,
        in_profile=in_profile,
        changes=(*changes, *more),
    )


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn HW[C] pixels stored in an EXIF orientation 1..8 upright (Exif 2.32, tag 274).

    Pillow's exif_transpose does the same for its own images, which cannot hold 16-bit colour.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def without_colour(image: Image.Image) -> bool:
    """Say from its header whether an opened image is grey; so is a palette of greys alone."""
    if image.mode in ("P", "PA"):
        palette = image.getpalette("RGB") or []
        return palette[0::3] == palette[1::3] == palette[2::3]
    grey = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
    return grey or _raw_mode(image).startswith("LA;16")  # which Pillow calls RGBA


def to_eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 pixels as they are, and uint16 divided by 257 and rounded to the nearest."""
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _orientation(image: Image.Image) -> tuple[int, tuple[str, ...]]:
    """Return the EXIF orientation, 1 with a note where the EXIF block is broken."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception as error:  # parsers of EXIF throw what they like at a broken block
        return 1, (f"EXIF can't be read ({type(error).__name__}): taken as upright",)
    return (value if isinstance(value, int) and 1 <= value <= 8 else 1), ()


def _raw_mode(image: Image.Image) -> str:
    """Return how the file stores its pixels, in Pillow's words ("RGB;16B"), "" if it won't say."""
    arguments = image.tile[0][3] if getattr(image, "tile", None) else ""  # type: ignore[attr-defined]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _deep_colour(image: Image.Image) -> bool:
    """Say whether Pillow would cut 16-bit channels, which it has for plain grey only, to 8."""
    return ";16" in _raw_mode(image) and not image.mode.startswith("I")


def _whole_file(image: Image.Image) -> bytes:
    file = image.fp  # type: ignore[attr-defined]
    position = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(position)
    return data


Decoded = tuple[np.ndarray, np.ndarray | None, bool, tuple[str, ...]]


def _decoded(image: Image.Image, data: bytes | None, frame: int, profile: bytes | None) -> Decoded:
    """Return pixels and alpha as stored, whether the profile still holds, and the changes."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _deep_grey(image)
    plain = "L" if without_colour(image) else "RGB"
    managed = _profile(image.mode if image.mode in ("CMYK", "LAB") else plain, profile)
    if data is not None and managed is None:
        planes = _deep_planes(data, frame, image)
        if planes is not None:
            return *planes, True, ()
    pixels, alpha = _eight_bits(image, profile)
    foreign = managed is not None and image.mode not in ("CMYK", "LAB")
    told = {
        DEEP_TO_EIGHT: data is not None,
        CMYK_TO_RGB: image.mode == "CMYK",
        LAB_TO_RGB: image.mode == "LAB",
        "the colours of another profile became sRGB": foreign,
        "black and white became grey": image.mode == "1",
    }
    changes = tuple(change for change, true in told.items() if true)
    return pixels, alpha, managed is None and image.mode != "CMYK", changes


def _deep_planes(
    data: bytes, frame: int, image: Image.Image
) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Read 16-bit colour, or grey with alpha, by OpenCV; None where it can't."""
    buffer = np.frombuffer(data, np.uint8)
    try:
        _, frames = cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED, range=(frame, frame + 1))
    except cv2.error:
        return None
    planes = frames[0] if frames else None
    size = (image.height, image.width)
    if planes is None or planes.dtype != np.uint16 or planes.ndim != 3 or planes.shape[:2] != size:
        return None
    alpha = planes.shape[2] == 4
    if alpha != image.has_transparency_data:
        return None
    colour = planes[:, :, :1] if without_colour(image) else planes[:, :, 2::-1]
    return np.ascontiguousarray(colour), planes[:, :, 3] if alpha else None


def _deep_grey(image: Image.Image) -> Decoded:
    """Return 16-bit integer or float grey as uint16; the colour key, if any, becomes alpha."""
    values, real = np.array(image), image.mode == "F"
    top = 1.0 if real else float(DEEP)
    if not (values.min() >= 0 and values.max() <= top):
        raise ImageFileError(
            f"has grey values {values.min():g}..{values.max():g} where its type allows "
            f"0..{top:g} only; convert it to 8 or 16 bits"
        )
    key = image.info.get("transparency")
    alpha = np.where(values == key, 0, DEEP).astype(np.uint16) if isinstance(key, int) else None
    if image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # type: ignore[attr-defined]
        values = top - values  # Pillow turns 8 bits over, and leaves deeper ones
    pixels = np.rint(values * np.float32(DEEP)) if real else values
    changes = ("32 bits became 16",) if image.mode in ("F", "I") else ()
    return pixels.astype(np.uint16)[:, :, None], alpha, True, changes


def _eight_bits(image: Image.Image, profile: bytes | None) -> tuple[np.ndarray, np.ndarray | None]:
    grey, alpha = without_colour(image), None
    if image.has_transparency_data:
        image = _converted(image, "LA" if grey else "RGBA")
        alpha = np.array(image.getchannel("A"))
    if image.mode not in ("CMYK", "LAB"):
        image = _converted(image, "L" if grey else "RGB")
    pixels = np.array(_in_srgb(image, profile))
    return (pixels[:, :, None] if pixels.ndim == 2 else pixels), alpha


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return L or RGB in sRGB from an image of mode L, RGB, CMYK or LAB."""
    plain = "L" if image.mode == "L" else "RGB"
    source = _profile(image.mode, profile)
    if source is None:
        return _converted(image, plain)
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
        return _converted(image, plain)
    assert managed is not None, "only a conversion in place returns None"
    return _converted(managed, plain)


def _profile(mode: str, profile: bytes | None) -> ImageCms.ImageCmsProfile | None:
    """Return the profile to convert from, None where there is nothing to convert."""
    if mode == "LAB":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        fits = given.profile.xcolor_space.strip() == _SPACES.get(mode)
        standard = "sRGB" in ImageCms.getProfileDescription(given)
    except (OSError, ImageCms.PyCMSError):
        return None
    return given if fits and not standard else None
