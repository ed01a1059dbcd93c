"""The one door to MLflow: each executed stage is a run, and a lost server never ends a stage.

Who called (a flow's parent run, its name) arrives as `MLFLOW_RUN_CONTEXT`, which MLflow reads
itself.
"""

import dataclasses
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.stage.console import discreet, say
from tasks.tracking.delivery import DeliveryQueue, one_line
from tasks.tracking.provenance import as_params, provenance, repository_root
from tasks.tracking.store import Opening, experiment_id, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = [
    "Run",
    "experiment_id",
    "open_run",
    "provenance",
    "repository_root",
    "stage_run",
    "tracking_uri",
]

BATCH = 1000  # metrics in one request; MLflow's limit
PICTURES = 100  # that wait for a store at most; of more, the oldest go
REFUSED = (400, 404)  # HTTP: sending again would not help


class Run:
    """One MLflow run. Every method returns at once or warns; none raises for MLflow's sake.

    Metrics and pictures wait here until the store has taken them, also one that was away when the
    run was opened: the run is opened then.
    """

    def __init__(self, opening: Opening | None) -> None:
        """opening: None for a run that takes everything and keeps nothing."""
        self._opening = opening
        self._queue = DeliveryQueue("MLflow") if opening else None
        self._waiting: list[tuple[str, float, int, int]] = []
        self._pictures: deque[Callable[[MlflowClient], None]] = deque()
        self._lock = threading.Lock()
        if self._queue:
            self._queue.put("the run", self._open, urgent=True)

    def _open(self) -> None:
        opening, box = self._opening, self._queue
        assert opening is not None and box is not None
        try:
            opening.ready()
        except Exception as error:
            say(
                f"warning: MLflow has no run of {opening.name}, work goes on; the run is opened "
                f"when the store is back: {one_line(error)}"
            )
            box.away()

    def await_opening(self) -> None:
        """Return when the store was asked for the run; `id` and `url` are there if it answered."""
        if self._queue is not None:
            self._queue.put("the run", lambda: None, wait=True, urgent=True)

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
        batch = [(name, float(value), now, step) for name, value in values.items()]
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
        self._put("the model", lambda _: self._send_model(name, Path(folder), example), wait=True)

    def _send_model(self, name: str, folder: Path, example: pd.DataFrame) -> None:
        from tasks.tracking.models import log_model

        log_model(tracking_uri(), str(self.id), name, folder, example)

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
        if self.url:
            say(f"run {self._opening.name} in MLflow: {self.url}")

    def _put(self, what: str, send: Any, wait: bool = False, kept: bool = False) -> None:
        opening = self._opening
        if self._queue is not None and opening is not None:
            self._queue.put(what, lambda: send(opening.ready()), wait, kept, urgent=wait)

    def _send_pictures(self, client: "MlflowClient") -> None:
        while self._pictures:
            with self._lock:
                send = self._pictures.popleft()
            try:
                send(client)
            except Exception:
                with self._lock:
                    self._pictures.appendleft(send)
                raise

    def _send_metrics(self, client: "MlflowClient") -> None:
        """Send what waits, also what could not be sent before; only what is refused goes."""
        from mlflow import MlflowException
        from mlflow.entities import Metric

        while part := self._waiting[:BATCH]:
            refusal = None
            try:
                client.log_batch(str(self.id), metrics=[Metric(*figure) for figure in part])
            except MlflowException as error:
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
        values = as_params(dataclasses.asdict(config))
        run = open_run(name, provenance(stage, deps or {}), values, False)
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        run.close(status)


def open_run(
    name: str, tags: Mapping[str, str], params: Mapping[str, str], wait: bool = True
) -> Run:
    """Open a run in the experiment; without a store, warn and open it when there is one.

    wait: return only when the store was asked; else MLflow is imported beside what follows.
    """
    run = Run(Opening(name, tags, params))
    if wait:
        run.await_opening()
    return run
