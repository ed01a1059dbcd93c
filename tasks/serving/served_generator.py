"""The generator as MLflow serves it: columns `class` and `seed` in, a column of base64 PNG out.

MLflow keeps this file and runs it where it loads the model, with `tasks` and `remint` beside it.
"""

from typing import Any

import numpy as np
import pandas as pd

from remint.generator.generator import Minter
from tasks.serving.base64_images import encode
from tasks.tracking.models import PythonModel, set_model


class ServedGenerator(PythonModel):
    """A pyfunc model over a Remint model folder."""

    def load_context(self, context: Any) -> None:
        """Load the model folder; MLflow asks for this argument's name."""
        self.minter = Minter.load(context.artifacts["generator"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Mint one image a row: `class` is a class's name, `seed` any whole number from 0.

        An unlabelled generator takes an empty name. The same row gives the same image; on a GPU,
        beside other rows, within about a level of 255.
        """
        del context, params
        labels = np.array([self._label(str(name)) for name in model_input["class"]], np.int64)
        seeds = model_input["seed"].to_numpy(np.int64)
        if (seeds < 0).any():
            raise ValueError(f"seed: found {seeds.min()}, needed 0 or more")
        return pd.DataFrame({"image": [encode(i) for i in self.minter.mint(labels, seeds)]})

    def _label(self, name: str) -> int:
        names = self.minter.class_names or [""]
        if name not in names:
            raise ValueError(f"class: found {name!r}, needed one of {', '.join(map(repr, names))}")
        return names.index(name)


set_model(ServedGenerator())
