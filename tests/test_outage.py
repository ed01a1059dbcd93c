"""Servers that go away meanwhile: the work goes on, what it said arrives or is told as lost.

And a checkout that is taken: the second flow is refused, the first is not disturbed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import mlflow
import pandas as pd
import pytest

from tasks.commands.presets import change
from tests.servers import DVC_YAML, Server, free_port, quick_repository, wait_until

pytestmark = pytest.mark.slow
LONGER = {
    "train_generator": {
        "budget": {"images": 32000},
        "snapshots": {"every": 16000},
        "loop": {"sample_every": 16000, "checkpoint_every": 4000},
    }
}


@pytest.fixture(scope="module")
def prepared(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clean set, and parameters of a generator's training of half a minute."""
    folder = tmp_path_factory.mktemp("prepared")
    shutil.copy(root / "params.yaml", folder)
    (folder / "dvc.yaml").touch()
    run = [sys.executable, "-m"]
    subprocess.run([*run, "tasks.commands.presets", "tiny"], cwd=folder, check=True)
    change(folder / "params.yaml", LONGER)
    (folder / "data/embedded").mkdir(parents=True)
    ingest = ["tasks.ingest", "data/embedded", "data/clean", "data/reports/ingest"]
    subprocess.run([*run, *ingest], cwd=folder, check=True)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Server]:
    """An MLflow server with a database of its own, not started."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path / 'store.db'}"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    made = Server(command, f"{address}/health", tmp_path / "mlflow.log")
    yield made
    made.kill()


def train(folder: Path, store: Server, model: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a training that logs to this store; return its process and what it says."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["MLFLOW_TRACKING_URI"] = store.health.removesuffix("/health")
    said = folder / f"{model}.log"
    command = [sys.executable, "-m", "tasks.train_generator", "data/clean", model]
    with said.open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log), said


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


def left_alone(folder: Path, store: Server, model: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Return a training, and what it says, whose store was killed after its first metrics."""
    store.start()
    process, said = train(folder, store, model)
    wait_until(lambda: len(arrived(store)) > 0, 120, "no metrics")
    store.kill()
    return process, said


def test_metrics_of_the_time_without_a_server_are_sent_when_it_is_back(
    prepared: Path, store: Server
) -> None:
    process, said = left_alone(prepared, store, "again")
    wait_until(lambda: "work goes on" in said.read_text(), 120, "no warning")
    assert process.poll() is None
    store.start()
    assert process.wait(300) == 0, said.read_text()[-2000:]
    assert curves(prepared / "again") == arrived(store)


def test_a_server_that_stays_away_costs_no_training_and_the_loss_is_told(
    prepared: Path, store: Server
) -> None:
    process, said = left_alone(prepared, store, "alone")
    assert process.wait(300) == 0, said.read_text()[-2000:]
    assert "warning: MLflow lost" in said.read_text().splitlines()[-1]
    assert (prepared / "alone/generator.safetensors").exists()


@pytest.fixture
def prefect(tmp_path: Path) -> Iterator[Server]:
    """A Prefect server, not started; its database outlives it."""
    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    address = f"http://127.0.0.1:{port}/api/health"
    made = Server([*command, "--port", str(port)], address, tmp_path / "prefect.log")
    yield made
    made.kill()


def flow_is_training(
    folder: Path, root: Path, server: Server, **environment: str
) -> tuple[subprocess.Popen[bytes], Path]:
    """Return the process of a flow whose first stage is at work, and what it says."""
    folder.mkdir()
    quick_repository(folder, root)
    slow = DVC_YAML.replace("echo training", "echo now training; sleep 20")
    (folder / "dvc.yaml").write_text(slow)
    api = {"PREFECT_API_URL": server.health.removesuffix("/health"), "PYTHONPATH": str(root)}
    said = folder / "flow.log"
    command = [sys.executable, "-m", "flows.pipeline", "restoration"]
    with said.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **api, **environment}, stdout=log, stderr=log
        )
    wait_until(lambda: "- now training" in said.read_text(), 120, "no training")
    return process, said


def test_a_flow_tells_prefect_its_end_when_the_server_is_back(
    prefect: Server, tmp_path: Path, root: Path
) -> None:
    prefect.start()
    process, said = flow_is_training(tmp_path / "repo", root, prefect)
    prefect.kill()
    prefect.start()
    assert process.wait(300) == 0, said.read_text()[-2000:]
    answer = httpx.post(prefect.health.replace("health", "flow_runs/filter"), json={}, timeout=30)
    assert [run["state"]["type"] for run in answer.json()] == ["COMPLETED"]


def test_a_flow_does_its_work_without_prefect_and_says_that_nobody_was_told(
    prefect: Server, tmp_path: Path, root: Path
) -> None:
    prefect.start()
    process, said = flow_is_training(
        tmp_path / "repo", root, prefect, PREFECT_CLIENT_MAX_RETRIES="0"
    )
    prefect.kill()
    assert process.wait(300) == 75, said.read_text()[-2000:]
    assert (tmp_path / "repo/page").exists()
    assert "error: Prefect's server went away" in said.read_text()


def test_of_two_flows_in_one_checkout_the_second_is_refused_and_the_first_ends_well(
    prefect: Server, tmp_path: Path, root: Path
) -> None:
    prefect.start()
    first, said = flow_is_training(tmp_path / "repo", root, prefect)
    second = subprocess.run(
        [sys.executable, "-m", "flows.pipeline", "restoration"],
        cwd=tmp_path / "repo",
        env={**os.environ, "PREFECT_API_URL": prefect.health.removesuffix("/health")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert second.returncode == 1 and "this checkout is in use by flow run" in second.stderr
    assert first.wait(120) == 0, said.read_text()[-2000:]
    assert (tmp_path / "repo/page").exists()
