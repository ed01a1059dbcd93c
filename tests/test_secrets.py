"""Secrets come from the environment alone and are found nowhere afterwards."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest

from flows import experiment, graph, servers, stages
from tasks.commands.presets import apply_preset
from tasks.stage import console
from tasks.tracking.delivery import one_line
from tests.processes import LAST_SECONDS, Spawner
from tests.servers import DVC_YAML, Server, free_port, quick_repository

SECRET = "hunter2-canary"
KEYS = ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "PREFECT_API_KEY", "PGPASSWORD")
ADDRESS = f"http://remint:{SECRET}@127.0.0.1"
FLOW = '["flow", {"flow": "pipeline"}, {}]\n["FINISHED", {}, {}]\n'


@pytest.fixture
def place(root: Path, tmp_path: Path) -> Path:
    """A folder in which the cheap stages run."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(root / name, tmp_path)
    (tmp_path / "data/embedded").mkdir(parents=True)
    apply_preset("tiny", tmp_path / "params.yaml")
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
        timeout=LAST_SECONDS,
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
    address = f"{ADDRESS}:{free_port()}"
    away = {"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    ingest = ("tasks.ingest", "data/embedded", "data/clean", "data/reports/ingest")
    said = run(place, away, *ingest)
    said += run(place, away, "tasks.tracking.flow_run", given=FLOW)
    assert "warning: MLflow has no run of ingest" in said
    assert SECRET not in said and not holders(place)


def test_users_and_passwords_in_addresses_become_stars() -> None:
    text = console.discreet(
        f"s3://a:{SECRET}@{SECRET}@store/x and postgresql://u:{SECRET}@db:1/m, a@b.c"
    )
    assert text == "s3://***@store/x and postgresql://***@db:1/m, a@b.c"


@pytest.mark.slow
def test_a_password_in_an_address_is_not_shown_when_the_server_is_there(
    place: Path, tmp_path_factory: pytest.TempPathFactory, spawn: Spawner
) -> None:
    port, home = free_port(), tmp_path_factory.mktemp("store")
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    store = f"sqlite:///{home / 'store.db'}"
    command += ["--backend-store-uri", store, "--artifacts-destination", str(home / "artifacts")]
    Server(command, f"http://127.0.0.1:{port}/health", home / "log", spawn).start()
    there = {"MLFLOW_TRACKING_URI": f"{ADDRESS}:{port}"}
    said = run(place, there, "tasks.ingest", "data/embedded", "data/clean", "data/reports/ingest")
    said += run(place, there, "tasks.tracking.flow_run", given=FLOW)
    assert said.count(f"http://***@127.0.0.1:{port}/#/experiments/1/runs/") == 3
    assert SECRET not in said and not holders(place) + holders(home)


@pytest.fixture
def repo(tmp_path: Path, root: Path) -> Path:
    """A repository of quick stages, the first of which prints an address with a password."""
    (folder := tmp_path / "repo").mkdir()
    text = DVC_YAML.replace("echo training", f"echo View run at {ADDRESS}:1/x")
    quick_repository(folder, root, text)
    return folder


def test_what_a_stage_prints_is_told_without_its_passwords(repo: Path) -> None:
    lines: list[str] = []
    stages.run("train_restorer", {}, lines.append, repo)
    assert "View run at http://***@127.0.0.1:1/x" in lines and SECRET not in str(lines)
    (repo / "dvc.yaml").write_text((repo / "dvc.yaml").read_text().replace("cp in", "false"))
    with pytest.raises(stages.StageError, match=r"http://\*\*\*@127") as failed:
        stages.run("train_restorer", {}, lines.append, repo)
    assert SECRET not in str(failed.value)


def test_a_push_that_fails_tells_no_password(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = f"ERROR: failed to push to {ADDRESS}/store\\n\\nHaving any troubles?"
    monkeypatch.setattr(experiment, "DVC", (sys.executable, "-c", f"raise SystemExit('{words}')"))
    monkeypatch.setenv("REMINT_PUSH", "hub")
    why = r"to hub: ERROR: failed to push to http://\*\*\*@127\.0\.0\.1/store$"
    with pytest.raises(experiment.ExperimentError, match=why):
        experiment.push(repo, "quick-otter", print)


def test_a_push_to_an_address_with_a_password_is_refused(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command line can be read by everybody on the machine."""
    monkeypatch.setenv("REMINT_PUSH", f"{ADDRESS}/hub.git")
    with pytest.raises(experiment.ExperimentError, match="name a git remote instead") as refused:
        experiment.push(repo, "quick-otter", print)
    assert SECRET not in str(refused.value)


def test_what_git_and_dvc_say_against_a_flow_is_told_without_passwords(repo: Path) -> None:
    twice = f"{{cmd: x, outs: ['{ADDRESS}/x']}}"
    (repo / "dvc.yaml").write_text(f"stages: {{x: {twice}, y: {twice}}}")
    with pytest.raises(ValueError, match="dvc dag") as failed:
        graph.read(repo)
    assert SECRET not in str(failed.value)
    with pytest.raises(experiment.ExperimentError, match="no experiment http://") as failed:
        experiment.figures(repo, ADDRESS)
    assert SECRET not in str(failed.value)


def test_make_ui_hands_the_store_to_mlflow_by_the_environment(root: Path, tmp_path: Path) -> None:
    (program := tmp_path / "bin/mlflow").parent.mkdir()
    program.write_text('#!/bin/sh\necho "asked: $*"\necho "store: $MLFLOW_BACKEND_STORE_URI"\n')
    program.chmod(0o755)
    env = {**os.environ, "MLFLOW_TRACKING_URI": ADDRESS}
    asked, store = make(root, "ui", tmp_path, env=env, capture_output=True).stdout.splitlines()
    assert store == f"store: {ADDRESS}" and asked.startswith("asked: ui --host 127.0.0.1")
    assert SECRET not in asked


def test_the_last_words_of_a_server_are_told_without_passwords(tmp_path: Path) -> None:
    said = ["-c", f"print('no database at {ADDRESS}')"]
    with (tmp_path / "log").open("w+b") as log:
        process = subprocess.Popen([sys.executable, *said], stdout=log)
        process.wait()
        with pytest.raises(servers.NotServingError, match=r"at http://\*\*\*@127") as failed:
            servers.await_answer("http://127.0.0.1:9", "Prefect", process, log)
    assert SECRET not in str(failed.value)


def test_a_cut_message_holds_no_half_of_a_password() -> None:
    for filled in range(250, 300):
        told = console.discreet(one_line(ValueError(f"{'x' * filled} {ADDRESS}/")))
        assert "hunter2"[:3] not in told, filled


def make(root: Path, goal: str, programs: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Call make with the programs of a folder as those of its environment."""
    (programs / "set-up").touch()
    place = f"VENV={os.path.relpath(programs, root)}"
    command = ["make", "--no-print-directory", goal, place]
    return subprocess.run(command, cwd=root, text=True, **options)
