"""Images as text, as MLflow's served models take and give them: base64 of a PNG file."""

import base64

import cv2
import numpy as np


def decode(text: str) -> np.ndarray:
    """Return uint8 HWC, one channel for a grey file, else RGB; ValueError if it is no image."""
    data = np.frombuffer(base64.b64decode(text), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_ANYCOLOR) if data.size else None
    if image is None:
        raise ValueError("the image column must hold base64 of a PNG or JPEG file")
    return image[..., None] if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])


def encode(image: np.ndarray) -> str:
    """Return uint8 HWC pixels as base64 of a PNG file."""
    ok, png = cv2.imencode(".png", image[..., ::-1] if image.shape[-1] == 3 else image)
    assert ok
    return base64.b64encode(png.tobytes()).decode()
