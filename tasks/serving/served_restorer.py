"""The restorer as MLflow serves it: a column of base64 PNG images in, the same column restored.

MLflow keeps this file and runs it where it loads the model, with `tasks` and `remint` beside it.
"""

from typing import Any

import pandas as pd

from remint.restorer.restorer import Restorer
from remint.restorer.tiling import restore_image
from tasks.serving.base64_images import decode, encode
from tasks.tracking.models import PythonModel, set_model

TILE = 512  # px


class ServedRestorer(PythonModel):
    """A pyfunc model over a Remint model folder."""

    def load_context(self, context: Any) -> None:
        """Load the model folder; MLflow asks for this argument's name."""
        self.restorer = Restorer.load(context.artifacts["restorer"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Restore the `image` column (base64 of a PNG or JPEG); a grey model refuses colour."""
        del context, params
        return pd.DataFrame({"image": [self._restored(text) for text in model_input["image"]]})

    def _restored(self, text: str) -> str:
        overlap = self.restorer.overlap(TILE, None)
        return encode(restore_image(self.restorer, decode(text), TILE, overlap))


set_model(ServedRestorer())
