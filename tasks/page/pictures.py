"""Pictures inside the page: small ones as they are, large ones scaled down, all as data URIs."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

UNTOUCHED = 128  # px: pictures up to this side are embedded pixel by pixel
WEBP_QUALITY = 90


@dataclass(frozen=True)
class EmbeddedPicture:
    """uri: a data URI. width, height: px of the original. crisp: show pixels as squares."""

    uri: str
    width: int
    height: int
    crisp: bool


def picture(path: Path, longest: int) -> EmbeddedPicture:
    """Return the image file at `path` for the page, its longer side at most `longest` px.

    Raises ValueError where the file is absent or no image.
    """
    try:
        with Image.open(path) as image:
            image.load()
    except OSError as error:
        raise ValueError(
            f"{path} can't be shown ({error}); run the stage that wrote it again"
        ) from None
    crisp = max(image.size) <= UNTOUCHED
    return EmbeddedPicture(
        _uri(image, None if crisp else longest), image.width, image.height, crisp
    )


def _uri(image: Image.Image, longest: int | None) -> str:
    buffer = io.BytesIO()
    if longest is None:
        image.save(buffer, "PNG", optimize=True)
        return _data("png", buffer.getvalue())
    shown = image.convert("RGB")
    shown.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    shown.save(buffer, "WEBP", quality=WEBP_QUALITY)
    return _data("webp", buffer.getvalue())


def _data(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
