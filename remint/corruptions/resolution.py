"""Lost resolution: fewer pixels than the image had."""

import cv2
import numpy as np

from remint.corruptions.drawing import Recipe, Shape, at

METHODS = {
    "area": cv2.INTER_AREA,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "nearest": cv2.INTER_NEAREST_EXACT,
}


def resize(image: np.ndarray, *, height: int, width: int, method: str) -> np.ndarray:
    """Resize uint8 HWC to height x width; method: area, bilinear, bicubic or nearest."""
    resized = cv2.resize(image, (width, height), interpolation=METHODS[method])
    return resized.reshape(height, width, image.shape[2])


def there_and_back(image: np.ndarray, *, height: int, width: int, method: str) -> np.ndarray:
    """Average the image down to height x width, then bring it back by `method`."""
    small = resize(image, height=height, width=width, method="area")
    return resize(small, height=image.shape[0], width=image.shape[1], method=method)


def _draw(shape: Shape, severity: float, method: str) -> Recipe:
    factor = at((0.6, 0.5, 0.4, 0.3, 0.25), severity)
    height, width = (max(1, round(side * factor)) for side in shape[:2])
    small = {"height": height, "width": width}
    return [{"operation": "there_and_back", **small, "method": method}]


def draw_pixelate(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Blocks: .6 to .25 of the pixels a side, brought back by repetition (ImageNet-C)."""
    return _draw(shape, severity, "nearest")


def draw_downscale(shape: Shape, severity: float, generator: np.random.Generator) -> Recipe:
    """Pixelate's factors (ImageNet-C), brought back bicubically: the input of super-resolution."""
    return _draw(shape, severity, "bicubic")
