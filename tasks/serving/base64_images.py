"""Images as text, as MLflow's served models take and give them: base64 of a PNG file."""

import base64

import numpy as np

from remint.images import imagefile


def decode(text: str) -> np.ndarray:
    """Return uint8 HWC, one channel for a grey file, else RGB; ValueError if it is no image."""
    try:
        return imagefile.decode(base64.b64decode(text))
    except imagefile.ImageFileError as error:
        raise ValueError(f"the image column holds base64 of a file that {error}") from error


def encode(image: np.ndarray) -> str:
    """Return uint8 HWC pixels as base64 of a PNG file."""
    return base64.b64encode(imagefile.encode_png(image)).decode()
