"""Secrets come from the environment alone and are found nowhere afterwards."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from tasks.stage import console
from tests.servers import free_port

SECRET = "hunter2-canary"
KEYS = ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "PREFECT_API_KEY", "PGPASSWORD")
FLOW = '["flow", {"flow": "pipeline"}, {}]\n["FINISHED", {}, {}]\n'


@pytest.fixture
def place(root: Path, tmp_path: Path) -> Path:
    """A folder in which the cheap stages run."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(root / name, tmp_path)
    (tmp_path / "data/embedded").mkdir(parents=True)
    run(tmp_path, {}, "tasks.commands.presets", "tiny")
    return tmp_path


def run(folder: Path, env: dict[str, str], *command: str, given: str = "") -> str:
    """Run a module with secrets all around; return everything it printed."""
    secrets = dict.fromkeys(KEYS, SECRET)
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, **secrets, **env},
        input=given,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    return done.stdout + done.stderr


def holders(folder: Path) -> list[str]:
    """Return the files below a folder that hold the secret."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [str(path) for path in files if SECRET.encode() in path.read_bytes()]


def test_no_secret_of_the_environment_is_printed_kept_or_logged(place: Path) -> None:
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{place / 'mlflow.db'}"}
    ingest = ("tasks.ingest", "data/embedded", "data/clean", "data/reports/ingest")
    said = run(place, store, *ingest)
    said += run(place, store, "tasks.corrupt", "data/clean", "data/corrupted")
    said += run(place, store, "tasks.tracking.flow_run", given=FLOW)
    assert SECRET not in said and not holders(place)
    client = mlflow.MlflowClient(store["MLFLOW_TRACKING_URI"])
    found = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert len(found) == 3 and SECRET not in str(found)


def test_a_password_in_an_address_is_not_shown_when_the_server_is_away(place: Path) -> None:
    address = f"http://remint:{SECRET}@127.0.0.1:{free_port()}"
    away = {"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    ingest = ("tasks.ingest", "data/embedded", "data/clean", "data/reports/ingest")
    said = run(place, away, *ingest)
    said += run(place, away, "tasks.tracking.flow_run", given=FLOW)
    assert "warning: MLflow has no run of ingest" in said
    assert SECRET not in said and not holders(place)


def test_users_and_passwords_in_addresses_become_stars() -> None:
    text = console.discreet(f"s3://a:{SECRET}@store/x and postgresql://u:{SECRET}@db:1/m, a@b.c")
    assert text == "s3://***@store/x and postgresql://***@db:1/m, a@b.c"
