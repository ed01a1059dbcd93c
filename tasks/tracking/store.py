"""The store of MLflow: where it is, the experiment in it, and a run on its way into it.

`MLFLOW_TRACKING_URI` decides where runs go; without it, `mlflow.db` and `mlruns/` at the root of
the repository, also when DVC runs the stage in a temporary copy. MLflow is imported where a run
is opened, by the thread that delivers: the second that it takes passes beside the stage's work.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.tracking import leftovers
from tasks.tracking.provenance import repository_root

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, DatasetInput

# MLflow reads these while it is imported, so they stand before it; what the user set wins.
SETTINGS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    # MLflow would print the address of a run's page with the password in it; `Run` says it itself
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
os.environ.update({**SETTINGS, **os.environ})

EXPERIMENT = "remint"
# MLflow's pages open on training runs, not on those for language models
KIND = {"mlflow.experimentKind": "custom_model_development"}
SQLITE = "sqlite:///"
AT_ONCE = 100  # parameters in one request; MLflow's limit
SETS = ("clean", "corrupted", "synthetic")
DIGEST = 36  # characters of a data set's digest; MLflow's limit


class Opening:
    """A run on its way into the store: what one try began, the next one goes on with.

    id: None until the store has made the run; experiment: empty until then.
    """

    def __init__(self, name: str, tags: Mapping[str, str], params: Mapping[str, str]) -> None:
        self.id: str | None = None
        self.experiment = ""
        self.name, self._tags = name, tags
        self._started = int(time.time() * 1000)
        self._params = list(params.items())
        self._client: MlflowClient | None = None

    def ready(self) -> "MlflowClient":
        """Return a client once the run is there as a whole; raise what the store raises."""
        if self._client is not None:
            return self._client
        from mlflow import MlflowClient
        from mlflow.entities import Param
        from mlflow.tracking.context.registry import resolve_tags

        client = MlflowClient(tracking_uri())
        self.experiment = experiment_id(client)
        if self.id is None:
            leftovers.close_killed(client, self.experiment)
            tags = resolve_tags({**self._tags, **leftovers.holder()})
            run = client.create_run(self.experiment, self._started, tags, self.name)
            self.id = run.info.run_id
        while part := self._params[:AT_ONCE]:
            client.log_batch(self.id, params=[Param(key, value) for key, value in part])
            del self._params[:AT_ONCE]
        if sets := inputs(self._tags):
            client.log_inputs(self.id, sets)
        self._client = client
        return client


def inputs(tags: Mapping[str, str]) -> "list[DatasetInput]":
    """Return what fills MLflow's column Dataset: name, fingerprint and use of each image set."""
    from mlflow.entities import DatasetInput, InputTag

    use = "training" if tags.get("stage", "").startswith("train") else "evaluation"
    known = {name: tags[f"data.{name}"] for name in SETS if f"data.{name}" in tags}
    return [
        DatasetInput(_data_set(name, fingerprint), [InputTag("mlflow.data.context", use)])
        for name, fingerprint in known.items()
    ]


def _data_set(name: str, fingerprint: str) -> "Dataset":
    from mlflow.entities import Dataset

    source = json.dumps({"uri": f"data/{name}", "fingerprint": fingerprint})
    return Dataset(name, fingerprint[:DIGEST], "remint", source)


def experiment_id(client: "MlflowClient") -> str:
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


def is_begun() -> bool:
    """Return whether the store may hold anything: a file that is not there is not made to see."""
    uri = tracking_uri()
    return not uri.startswith(SQLITE) or Path(uri.removeprefix(SQLITE)).exists()


def _artifact_home() -> str | None:
    """Return where a new experiment keeps files: beside an SQLite store, else MLflow decides.

    MLflow's own default lies in the working folder, which may be DVC's temporary copy.
    """
    uri = tracking_uri()
    if not uri.startswith(SQLITE):
        return None
    return (Path(uri.removeprefix(SQLITE)).parent / "mlruns").as_uri()
