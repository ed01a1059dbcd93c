"""The one door to MLflow: each executed stage is a run, and a lost server never ends a stage.

`MLFLOW_TRACKING_URI` decides where runs go; without it, `mlflow.db` and `mlruns/` at the root of
the repository, also when DVC runs the stage in a temporary copy. Who called (a flow's parent run,
its name) arrives as `MLFLOW_RUN_CONTEXT`, which MLflow reads itself.
"""

import dataclasses
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from remint.core.fingerprint import model_fingerprint
from tasks.stage.console import discreet, say
from tasks.tracking.delivery import DeliveryQueue, one_line
from tasks.tracking.provenance import as_params, provenance, repository_root

# MLflow reads these while it is imported, so they stand before it; what the user set wins.
os.environ.update(
    {
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "MLFLOW_LOGGING_LEVEL": "CRITICAL",
        **os.environ,
    }
)

import mlflow
from mlflow.entities import Metric, Param
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc import PythonModel
from mlflow.tracking.context.registry import resolve_tags
from mlflow.types import ColSpec, Schema

__all__ = [
    "PythonModel",
    "Run",
    "experiment_id",
    "open_run",
    "provenance",
    "repository_root",
    "set_model",
    "stage_run",
]

EXPERIMENT = "remint"
# MLflow's pages open on training runs, not on those for language models
KIND = {"mlflow.experimentKind": "custom_model_development"}
SQLITE = "sqlite:///"
BATCH = 1000  # metrics in one request; MLflow's limit
REFUSED = (400, 404)  # HTTP: sending again would not help
CODE = Path(__file__).resolve().parents[1]  # of the package `tasks`
SERVED_NEEDS = ("mlflow", "numpy", "opencv-python-headless", "pandas", "pillow", "safetensors")
SERVED_ALSO = ("scipy", "torch", "tqdm")


class Run:
    """One MLflow run. Every method returns at once or warns; none raises for MLflow's sake.

    Metrics wait here until the store has taken them.
    """

    def __init__(
        self, client: mlflow.MlflowClient | None, run_id: str | None, experiment: str = ""
    ) -> None:
        """client, run_id: None for a run that takes everything and keeps nothing."""
        self.id, self._experiment = run_id, experiment
        self._client = client
        self._queue = DeliveryQueue("MLflow") if client else None
        self._waiting: list[Metric] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str | None:
        """The run's page on an MLflow server; None for a store that is no server."""
        if self._client is None or not tracking_uri().startswith("http"):
            return None
        pages = f"{discreet(tracking_uri()).rstrip('/')}/#/experiments/{self._experiment}"
        return f"{pages}/runs/{self.id}"

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log figures; step: images seen where they change while the stage runs."""
        now = int(time.time() * 1000)
        batch = [Metric(name, float(value), now, step) for name, value in values.items()]
        if self._client is None:
            return
        with self._lock:
            self._waiting += batch
        self._put("metrics", self._send_metrics, kept=True)

    def image(self, name: str, image: np.ndarray, step: int) -> None:
        """Log one uint8 HWC picture of a stepped series."""
        pixels = np.ascontiguousarray(image)
        self._put(
            "an image",
            lambda client: client.log_image(self.id, pixels, key=name, step=step),
        )

    def artifact(self, path: Path, folder: str = "") -> None:
        """Log a file, or a folder with all that is in it, under `folder` of the run."""
        target = folder or None
        if Path(path).is_dir():
            self._put("a folder", lambda c: c.log_artifacts(self.id, str(path), target), wait=True)
        else:
            self._put("a file", lambda c: c.log_artifact(self.id, str(path), target), wait=True)

    def model(self, name: str, folder: Path, example: pd.DataFrame) -> None:
        """Log a model folder as the pyfunc model of `serving/served_{name}.py`, giving images.

        example: kept with the model as its input example; its columns are what the model takes,
        text or whole numbers.
        """
        self._put(
            "the model", lambda _: _log_model(str(self.id), name, Path(folder), example), wait=True
        )

    def close(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED once all is sent."""
        if self._client is None or self._queue is None:
            return
        box, client = self._queue, self._client
        box.put("metrics", lambda: self._send_metrics(client), kept=True, urgent=True)
        run_id = str(self.id)
        box.put("the end of the run", lambda: client.set_terminated(run_id, status), urgent=True)
        box.close()
        if self._waiting:
            box.lost["figure"] += len(self._waiting)
        box.tell()

    def _put(self, what: str, send: Any, wait: bool = False, kept: bool = False) -> None:
        if self._queue is not None:
            self._queue.put(what, lambda: send(self._client), wait, kept)

    def _send_metrics(self, client: mlflow.MlflowClient) -> None:
        """Send what waits, also what could not be sent before; only what is refused goes."""
        while part := self._waiting[:BATCH]:
            refusal = None
            try:
                client.log_batch(str(self.id), metrics=part)
            except mlflow.MlflowException as error:
                if error.get_http_status_code() not in REFUSED:
                    raise
                refusal = error
            with self._lock:
                del self._waiting[: len(part)]
            if refusal and self._queue:
                self._queue.lost["figure"] += len(part)
                raise refusal


@contextmanager
def stage_run(stage: str, config: Any, deps: Mapping[str, str] | None = None) -> Iterator[Run]:
    """Give the run of one executed stage, with its parameters and provenance as tags.

    config: the stage's frozen dataclass; deps: fingerprint of every data set or model it reads.
    Processes of a distributed training other than the first get a run that keeps nothing.
    """
    if os.environ.get("RANK", "0") != "0":
        run = Run(None, None)
    else:
        run = open_run(stage, provenance(stage, deps or {}), as_params(dataclasses.asdict(config)))
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        run.close(status)


def open_run(name: str, tags: Mapping[str, str], params: Mapping[str, str]) -> Run:
    """Open a run in the experiment; without a server, warn and give one that keeps nothing."""
    try:
        client = mlflow.MlflowClient(tracking_uri())
        experiment = experiment_id(client)
        run_id = client.create_run(experiment, tags=resolve_tags(tags), run_name=name).info.run_id
        entries = [Param(key, value) for key, value in params.items()]
        for start in range(0, len(entries), 100):  # MLflow's limit of one request
            client.log_batch(run_id, params=entries[start : start + 100])
    except Exception as error:
        say(f"warning: MLflow has no run of {name}, nothing of it is logged: {one_line(error)}")
        return Run(None, None)
    return Run(client, run_id, experiment)


def experiment_id(client: mlflow.MlflowClient) -> str:
    """Return the id of the experiment that runs go to; it is made where there is none."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    return client.create_experiment(name, artifact_location=_artifact_home(), tags=KIND)


def tracking_uri() -> str:
    """Return `MLFLOW_TRACKING_URI`, else SQLite at the repository's root.

    A relative SQLite file counts from that root too, wherever the stage runs.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    if not uri.startswith(SQLITE):
        return uri
    return f"{SQLITE}{repository_root() / uri.removeprefix(SQLITE)}"


def _artifact_home() -> str | None:
    """Return where a new experiment keeps files: beside an SQLite store, else MLflow decides.

    MLflow's own default lies in the working folder, which may be DVC's temporary copy.
    """
    uri = tracking_uri()
    if not uri.startswith(SQLITE):
        return None
    return (Path(uri.removeprefix(SQLITE)).parent / "mlruns").as_uri()


@contextmanager
def _served_code() -> Iterator[list[str]]:
    """Copy the code that a logged model brings along, without the models that come with it."""
    sources = (CODE, CODE.parent / "remint")
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            left_out = shutil.ignore_patterns("__pycache__", "shipped")
            shutil.copytree(source, Path(folder) / source.name, ignore=left_out)
        yield [str(Path(folder) / source.name) for source in sources]


def _log_model(run_id: str, name: str, folder: Path, example: pd.DataFrame) -> None:
    kinds = {str(c): "long" if example[c].dtype.kind == "i" else "string" for c in example}
    taken: list[Any] = [ColSpec(kind, column) for column, kind in kinds.items()]
    mlflow.set_tracking_uri(tracking_uri())
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
