"""The restorer as MLflow serves it: a column of base64 PNG images in, the same column restored.

MLflow keeps this file and runs it where it loads the model, with `tasks` and `remint` beside it.
"""

import base64
from typing import Any

import cv2
import numpy as np
import pandas as pd

from remint.restorer import Restorer
from remint.tiling import restore_image
from tasks.tracking import PythonModel, set_model

TILE = 256
OVERLAP = 32


class ServedRestorer(PythonModel):
    """A pyfunc model over a Remint model folder."""

    def load_context(self, context: Any) -> None:
        """Load the model folder; MLflow asks for this argument's name."""
        self.restorer = Restorer.load(context.artifacts["restorer"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Restore the `image` column (base64 of any PNG or JPEG, grey or colour, any size)."""
        del context, params
        return pd.DataFrame({"image": [self._restored(text) for text in model_input["image"]]})

    def _restored(self, text: str) -> str:
        return encode(restore_image(self.restorer, decode(text), TILE, OVERLAP))


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


set_model(ServedRestorer())
