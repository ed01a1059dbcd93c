"""The one door to MLflow: each executed stage is a run, and a lost server never ends a stage.

Who called (a flow's parent run, its name) arrives as `MLFLOW_RUN_CONTEXT`, which MLflow reads
itself.
"""

import dataclasses
import os
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
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
from tasks.tracking.store import (
    ColSpec,
    Metric,
    ModelSignature,
    Opening,
    PythonModel,
    Schema,
    experiment_id,
    mlflow,
    set_model,
    tracking_uri,
)

__all__ = [
    "PythonModel",
    "Run",
    "experiment_id",
    "mlflow",
    "open_run",
    "provenance",
    "repository_root",
    "set_model",
    "stage_run",
    "tracking_uri",
]

BATCH = 1000  # metrics in one request; MLflow's limit
PICTURES = 100  # that wait for a store at most; of more, the oldest go
REFUSED = (400, 404)  # HTTP: sending again would not help
CODE = Path(__file__).resolve().parents[1]  # of the package `tasks`
SERVED_NEEDS = ("mlflow", "numpy", "opencv-python-headless", "pandas", "pillow", "safetensors")
SERVED_ALSO = ("scipy", "torch", "tqdm")


class Run:
    """One MLflow run. Every method returns at once or warns; none raises for MLflow's sake.

    Metrics and pictures wait here until the store has taken them, also one that was away when the
    run was opened: the run is opened then.
    """

    def __init__(self, opening: Opening | None) -> None:
        """opening: None for a run that takes everything and keeps nothing."""
        self._opening = opening
        self._queue = DeliveryQueue("MLflow") if opening else None
        self._waiting: list[Metric] = []
        self._pictures: deque[Callable[[mlflow.MlflowClient], None]] = deque()
        self._lock = threading.Lock()
        if opening:
            self._open(opening)

    def _open(self, opening: Opening) -> None:
        try:
            opening.ready()
        except Exception as error:
            say(
                f"warning: MLflow has no run of {opening.name}, work goes on; the run is opened "
                f"when the store is back: {one_line(error)}"
            )
            assert self._queue is not None
            self._queue.away()

    @property
    def id(self) -> str | None:
        """The run's id in the store; None until it has one."""
        return self._opening.id if self._opening else None

    @property
    def url(self) -> str | None:
        """The run's page on an MLflow server; None for a store that is no server."""
        if self._opening is None or self.id is None or not tracking_uri().startswith("http"):
            return None
        pages = f"{discreet(tracking_uri()).rstrip('/')}/#/experiments/{self._opening.experiment}"
        return f"{pages}/runs/{self.id}"

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log figures; step: images seen where they change while the stage runs."""
        now = int(time.time() * 1000)
        batch = [Metric(name, float(value), now, step) for name, value in values.items()]
        if self._opening is None:
            return
        with self._lock:
            self._waiting += batch
        self._put("metrics", self._send_metrics, kept=True)

    def image(self, name: str, image: np.ndarray, step: int) -> None:
        """Log one uint8 HWC picture of a stepped series."""
        if self._queue is None:
            return
        pixels = np.array(image, order="C")
        with self._lock:
            self._pictures.append(
                lambda client: client.log_image(str(self.id), pixels, key=name, step=step)
            )
            if len(self._pictures) > PICTURES:
                self._pictures.popleft()
                self._queue.lost["an image"] += 1
        self._put("an image", self._send_pictures, kept=True)

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
        if self._queue is None:
            return
        self._queue.put("the end of the run", lambda: self._end(status), urgent=True)
        self._queue.close()
        for what, waiting in (("figure", self._waiting), ("an image", self._pictures)):
            if waiting:
                self._queue.lost[what] += len(waiting)
        self._queue.tell()

    def _end(self, status: str) -> None:
        assert self._opening is not None
        client = self._opening.ready()
        try:
            self._send_metrics(client)
            self._send_pictures(client)
        finally:
            client.set_terminated(str(self.id), status)

    def _put(self, what: str, send: Any, wait: bool = False, kept: bool = False) -> None:
        opening = self._opening
        if self._queue is not None and opening is not None:
            self._queue.put(what, lambda: send(opening.ready()), wait, kept, urgent=wait)

    def _send_pictures(self, client: mlflow.MlflowClient) -> None:
        while self._pictures:
            with self._lock:
                send = self._pictures.popleft()
            try:
                send(client)
            except Exception:
                with self._lock:
                    self._pictures.appendleft(send)
                raise

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

    It bears the name of the experiment of DVC, where there is one, and of the stage.

    config: the stage's frozen dataclass; deps: fingerprint of every data set or model it reads.
    Processes of a distributed training other than the first get a run that keeps nothing.
    """
    if os.environ.get("RANK", "0") != "0":
        run = Run(None)
    else:
        name = " ".join(filter(None, (os.environ.get("DVC_EXP_NAME"), stage)))
        run = open_run(name, provenance(stage, deps or {}), as_params(dataclasses.asdict(config)))
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
    """Open a run in the experiment; without a store, warn and open it when there is one."""
    return Run(Opening(name, tags, params))


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
