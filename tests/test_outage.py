"""Servers that go away meanwhile: the work goes on, what it said arrives or is told as lost.

And a checkout that is taken: the second flow is refused, the first is not disturbed.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import mlflow
import pandas as pd
import pytest

from tasks import ingest
from tasks.commands.presets import apply_preset, change
from tests.processes import LAST_SECONDS, Child, Spawner, wait_until
from tests.servers import DVC_YAML, Server, free_port, quick_repository

pytestmark = pytest.mark.slow
LONGER = {
    "train_generator": {
        "budget": {"images": 16000},
        "snapshots": {"every": 8000},
        "loop": {"sample_every": 8000, "checkpoint_every": 4000},
    }
}


@pytest.fixture(scope="module")
def prepared(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clean set, and parameters of a generator's training of 16,000 images."""
    folder = tmp_path_factory.mktemp("prepared")
    shutil.copy(root / "params.yaml", folder)
    (folder / "dvc.yaml").touch()
    apply_preset("tiny", folder / "params.yaml")
    change(folder / "params.yaml", LONGER)
    (folder / "data/embedded").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ingest.main(["data/embedded", "data/clean", "data/reports/ingest"])
    return folder


@pytest.fixture
def store(tmp_path: Path, spawn: Spawner) -> Server:
    """An MLflow server with a database of its own, not started."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path / 'store.db'}"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    return Server(command, f"{address}/health", tmp_path / "mlflow.log", spawn)


def train(folder: Path, store: Server, model: str) -> Child:
    """Start a training that logs to this store."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"  # each waits longer than the one before
    environment["MLFLOW_TRACKING_URI"] = store.health.removesuffix("/health")
    command = [sys.executable, "-m", "tasks.train_generator", "data/clean", model]
    return store.spawn(command, folder / f"{model}.log", environment, cwd=folder)


def arrived(store: Server) -> set[tuple[str, int]]:
    """Return the names and steps of the curves that the store holds of its only run."""
    client = mlflow.MlflowClient(store.health.removesuffix("/health"))
    found = client.search_runs([e.experiment_id for e in client.search_experiments()])
    names = [(run.info.run_id, name) for run in found for name in run.data.metrics if "/" in name]
    return {(m.key, m.step) for run, name in names for m in client.get_metric_history(run, name)}


def curves(model: Path) -> set[tuple[str, int]]:
    """Return the names and steps of the curves that a training wrote beside its model."""
    told = pd.read_csv(model / "history.csv").set_index("images").drop(columns=["minutes", "stage"])
    points = told.stack().dropna().index
    return {(f"generator/{name}", int(images)) for images, name in points}


def left_alone(folder: Path, store: Server, model: str) -> Child:
    """Return a training whose store was killed after its first metrics."""
    store.start()
    training = train(folder, store, model)
    wait_until(lambda: arrived(store), "no metrics", training)
    store.kill()
    return training


def test_metrics_of_the_time_without_a_server_are_sent_when_it_is_back(
    prepared: Path, store: Server
) -> None:
    training = left_alone(prepared, store, "again")
    training.until("work goes on")
    training.process.send_signal(signal.SIGSTOP)  # it shall not be over before the store is back
    assert training.process.poll() is None
    store.start()
    training.process.send_signal(signal.SIGCONT)
    assert training.end() == 0, training.said()[-2000:]
    assert curves(prepared / "again") == arrived(store)


def test_a_server_that_stays_away_costs_no_training_and_the_loss_is_told(
    prepared: Path, store: Server
) -> None:
    training = left_alone(prepared, store, "alone")
    assert training.end() == 0, training.said()[-2000:]
    assert "warning: MLflow lost" in training.said().splitlines()[-1]
    assert (prepared / "alone/generator.safetensors").exists()


@pytest.fixture
def prefect(tmp_path: Path, spawn: Spawner) -> Server:
    """A Prefect server, not started; its database outlives it."""
    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    address = f"http://127.0.0.1:{port}/api/health"
    return Server([*command, "--port", str(port)], address, tmp_path / "prefect.log", spawn)


def flow_is_training(folder: Path, root: Path, server: Server, **environment: str) -> Child:
    """Return a flow whose first stage is at work."""
    folder.mkdir()
    quick_repository(folder, root)
    slow = DVC_YAML.replace(
        "echo training", "echo now training; while [ ! -e go ]; do sleep 1; done"
    )
    (folder / "dvc.yaml").write_text(slow)
    api = {"PREFECT_API_URL": server.health.removesuffix("/health"), "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "flows.pipeline", "restoration"]
    env = {**os.environ, **api, **environment}
    flow = server.spawn(command, folder / "flow.log", env, cwd=folder)
    flow.until("- now training")
    return flow


def test_a_flow_tells_prefect_its_end_when_the_server_is_back(
    prefect: Server, tmp_path: Path, root: Path
) -> None:
    prefect.start()
    flow = flow_is_training(tmp_path / "repo", root, prefect)
    prefect.kill()
    (tmp_path / "repo/go").touch()
    prefect.start()
    assert flow.end() == 0, flow.said()[-2000:]
    answer = httpx.post(
        prefect.health.replace("health", "flow_runs/filter"), json={}, timeout=LAST_SECONDS
    )
    assert [run["state"]["type"] for run in answer.json()] == ["COMPLETED"]


def test_a_flow_does_its_work_without_prefect_and_says_that_nobody_was_told(
    prefect: Server, tmp_path: Path, root: Path
) -> None:
    prefect.start()
    flow = flow_is_training(tmp_path / "repo", root, prefect, PREFECT_CLIENT_MAX_RETRIES="0")
    prefect.kill()
    (tmp_path / "repo/go").touch()
    assert flow.end() == 75, flow.said()[-2000:]
    assert (tmp_path / "repo/page").exists()
    assert "error: Prefect's server went away" in flow.said()


def test_of_two_flows_in_one_checkout_the_second_is_refused_and_the_first_ends_well(
    prefect: Server, tmp_path: Path, root: Path
) -> None:
    prefect.start()
    first = flow_is_training(tmp_path / "repo", root, prefect)
    second = subprocess.run(
        [sys.executable, "-m", "flows.pipeline", "restoration"],
        cwd=tmp_path / "repo",
        env={**os.environ, "PREFECT_API_URL": prefect.health.removesuffix("/health")},
        capture_output=True,
        text=True,
        timeout=LAST_SECONDS,
    )
    assert second.returncode == 1 and "this checkout is in use by flow run" in second.stderr
    (tmp_path / "repo/go").touch()
    assert first.end() == 0, first.said()[-2000:]
    assert (tmp_path / "repo/page").exists()
