"""With real parts: a server, a worker, a schedule; runs that succeed and fail by themselves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.servers import DVC_YAML, free_port, quick_repository

pytestmark = pytest.mark.slow
PREFECT_YAML = """
name: trial
deployments:
  - name: often
    entrypoint: flows/pipeline.py:restoration
    work_pool: {name: local-gpu}
    schedules: [{interval: 15}]
    concurrency_limit: {limit: 1, collision_strategy: CANCEL_NEW}
"""


@pytest.fixture
def repo(tmp_path: Path, root: Path) -> Path:
    """A repository of three quick stages with the project's own flows."""
    (folder := tmp_path / "repo").mkdir()
    (folder / "prefect.yaml").write_text(PREFECT_YAML)
    quick_repository(folder, root)
    return folder


@pytest.fixture
def served(repo: Path, root: Path, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The API's address and the process of `make serve` with schedules."""
    ports = free_port(), free_port()
    command = [sys.executable, "-m", "flows.serve", "--schedules"]
    command += ["--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    environment = {**os.environ, "PYTHONPATH": str(root), "PREFECT_HOME": str(tmp_path / "home")}
    environment |= {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    process = subprocess.Popen(
        command, cwd=repo, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert "Ctrl-C ends both" in process.stdout.readline()
        yield f"http://127.0.0.1:{ports[0]}/api", process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=90)


def first_run(
    api: str, state: str, seconds: float, fits: Callable[[dict[str, Any]], bool] = lambda run: True
) -> dict[str, Any]:
    """Return a flow run in this state that fits, as soon as there is one."""
    wanted = {"flow_runs": {"state": {"type": {"any_": [state]}}}, "limit": 100}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = httpx.post(f"{api}/flow_runs/filter", json=wanted, timeout=30).json()
        for run in filter(fits, found):
            return dict(run)
        time.sleep(1)
    raise AssertionError(f"no run was {state} within {seconds:.0f} s")


def test_scheduled_runs_succeed_fail_and_say_why_and_nothing_is_left(
    repo: Path, served: tuple[str, subprocess.Popen[str]]
) -> None:
    api, _process = served
    good = first_run(api, "COMPLETED", 150)
    assert good["auto_scheduled"] and (repo / "page").exists()
    names = subprocess.run(
        ["git", "for-each-ref", "refs/exps"], cwd=repo, capture_output=True, text=True
    ).stdout
    assert names and not (repo / ".git/MERGE_HEAD").exists()

    (repo / "dvc.yaml").write_text(DVC_YAML.replace("echo training", "echo no memory; false"))
    bad = first_run(api, "FAILED", 120)
    assert "stage train_restorer failed" in bad["state"]["message"]
    assert "no memory" in bad["state"]["message"]

    (repo / "dvc.yaml").write_text(DVC_YAML.replace("echo training", "sleep 303"))
    busy = first_run(api, "RUNNING", 120, lambda run: running("sleep 303", repo))
    state = {"type": "CANCELLING", "name": "Cancelling"}
    answer = httpx.post(f"{api}/flow_runs/{busy['id']}/set_state", json={"state": state})
    assert answer.status_code in (200, 201)
    first_run(api, "CANCELLED", 90, lambda run: run["id"] == busy["id"])
    assert not running("sleep 303", repo)


def running(what: str, folder: Path) -> bool:
    """Return whether a process with this command line works in the folder."""
    for process in psutil.process_iter():
        try:
            if what in " ".join(process.cmdline()) and process.cwd() == str(folder):
                return True
        except psutil.Error:
            continue
    return False
