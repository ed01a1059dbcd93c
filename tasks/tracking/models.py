"""Models in MLflow: how a folder is logged as one, and what its code is made of.

Importing this imports MLflow, so stages leave it to the thread that delivers.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from remint.core.fingerprint import model_fingerprint
from tasks.tracking.store import SETTINGS

os.environ.update({**SETTINGS, **os.environ})

import mlflow
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, Schema

__all__ = ["PythonModel", "log_model", "mlflow", "set_model"]

CODE = Path(__file__).resolve().parents[1]  # of the package `tasks`
SERVED_NEEDS = ("mlflow", "numpy", "opencv-python-headless", "pandas", "pillow", "safetensors")
SERVED_ALSO = ("scipy", "torch", "tqdm")


@contextmanager
def _served_code() -> Iterator[list[str]]:
    """Copy the code that a logged model brings along, without the models that come with it."""
    sources = (CODE, CODE.parent / "remint")
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            left_out = shutil.ignore_patterns("__pycache__", "shipped")
            shutil.copytree(source, Path(folder) / source.name, ignore=left_out)
        yield [str(Path(folder) / source.name) for source in sources]


def log_model(uri: str, run_id: str, name: str, folder: Path, example: pd.DataFrame) -> None:
    """Log a model folder to the run as the pyfunc model of `serving/served_{name}.py`."""
    kinds = {str(c): "long" if example[c].dtype.kind == "i" else "string" for c in example}
    taken: list[Any] = [ColSpec(kind, column) for column, kind in kinds.items()]
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run(run_id=run_id), _served_code() as code_paths:
        mlflow.pyfunc.log_model(
            name=name,
            python_model=str(CODE / "serving" / f"served_{name}.py"),
            artifacts={name: str(folder)},
            code_paths=code_paths,
            signature=ModelSignature(Schema(taken), Schema([ColSpec("string", "image")])),
            input_example=example,
            tags={"fingerprint": model_fingerprint(folder)},
            pip_requirements=[f"{need}=={version(need)}" for need in SERVED_NEEDS + SERVED_ALSO],
        )
