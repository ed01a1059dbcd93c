"""Compression: what encoders throw away. JPEG is always OpenCV's, WebP always Pillow's."""

from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from remint.corruptions.drawing import Recipe, Shape, at, integer

BLOCK = 8  # pixels: the side of JPEG's blocks


def jpeg(image: np.ndarray, *, quality: int) -> np.ndarray:
    """Encode as baseline JPEG, 4:2:0 for colour (ITU-T T.81), and decode again."""
    colour = image.shape[2] == 3
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if colour else image
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB if colour else cv2.IMREAD_GRAYSCALE)
    assert decoded is not None, "OpenCV could not read the JPEG that it wrote"
    return decoded.reshape(image.shape)


def draw_jpeg(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """JPEG, quality 25 to 7 (ImageNet-C)."""
    return [{"operation": "jpeg", "quality": round(at((25, 18, 15, 10, 7), severity))}]


def shifted_jpeg(image: np.ndarray, *, quality: int, down: int, right: int) -> np.ndarray:
    """JPEG whose blocks begin `down` rows and `right` columns before the image's corner.

    The border is repeated for the part of the first blocks that lies outside the image.
    """
    height, width, channels = image.shape
    padded = cv2.copyMakeBorder(image, down, 0, right, 0, cv2.BORDER_REPLICATE)
    padded = padded.reshape(height + down, width + right, channels)
    return np.ascontiguousarray(jpeg(padded, quality=quality)[down:, right:])


def draw_double_jpeg(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Two JPEGs whose blocks do not line up (FBCNN, Jiang et al. 2021, arXiv 2109.14573)."""
    worst = at((30, 22, 17, 12, 8), severity)
    first, second = (round(worst * generator.uniform(1, 1.5)) for _ in range(2))
    shift = integer(generator, 1, BLOCK * BLOCK - 1)  # any of the 63 that are not (0, 0)
    down, right = divmod(shift, BLOCK)
    return [
        {"operation": "shifted_jpeg", "quality": first, "down": down, "right": right},
        {"operation": "jpeg", "quality": second},
    ]


def webp(image: np.ndarray, *, quality: int) -> np.ndarray:
    """Encode as lossy WebP (RFC 9649) at the encoder's fastest effort, and decode again."""
    grey = image.shape[2] == 1
    file = BytesIO()
    Image.fromarray(image[:, :, 0] if grey else image).save(file, "WEBP", quality=quality, method=0)
    pixels = Image.open(file)
    return np.array(pixels.convert("L") if grey else pixels).reshape(image.shape)


def draw_webp(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """WebP, quality 25 to 1: near in strength to JPEG's severities (our own scale)."""
    return [{"operation": "webp", "quality": round(at((25, 15, 8, 4, 1), severity))}]
