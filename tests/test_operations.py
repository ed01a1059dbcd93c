"""With real parts: a server, a worker, a schedule; runs that succeed and fail by themselves."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.processes import LAST_SECONDS, Child, Spawner, ended_after, wait_until
from tests.servers import DVC_YAML, free_port, quick_repository
from tests.test_web import CHROMIUM, QUIET

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


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A repository of three quick stages with the project's own flows."""
    folder = tmp_path_factory.mktemp("repo")
    (folder / "prefect.yaml").write_text(PREFECT_YAML)
    quick_repository(folder, root)
    return folder


@dataclass(frozen=True)
class Serving:
    """`make serve` at work; api: Prefect's address; password: of the session."""

    api: str
    child: Child
    password: str

    def post(self, path: str, asked: Mapping[str, Any], **headers: str) -> httpx.Response:
        """Ask Prefect with the session's password, and the token that it wants against forgery."""
        who = (*self.password.split(":", 1),)
        with httpx.Client(
            base_url=self.api, auth=who, headers=headers, timeout=LAST_SECONDS
        ) as client:
            token = client.get("/csrf-token", params={"client": "test"}).json()["token"]
            proof = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
            return client.post(path, json=asked, headers=proof)

    def run(self, state: str, fits: Callable[[Mapping[str, Any]], bool] = lambda run: True) -> Any:
        """Return a flow run in this state that fits, as soon as there is one."""
        asked = {"flow_runs": {"state": {"type": {"any_": [state]}}}, "limit": 100}
        runs: list[Any] = []

        def there() -> bool:
            with suppress(httpx.TransportError):  # it has much to do
                runs[:] = filter(fits, self.post("/flow_runs/filter", asked).json())
            return bool(runs)

        wait_until(there, f"no run was {state}", self.child)
        return runs[0]


@pytest.fixture(scope="module")
def spawn() -> Iterator[Spawner]:
    """Start processes that end with this file's tests, they and all that they started."""
    yield from ended_after()


@pytest.fixture(scope="module")
def served() -> list[Serving]:
    """Every `make serve` that this file started."""
    return []


@pytest.fixture
def serving(
    served: list[Serving],
    repo: Path,
    root: Path,
    tmp_path_factory: pytest.TempPathFactory,
    spawn: Spawner,
) -> Serving:
    """`make serve` with schedules, which has come up: the last one, unless that has ended."""
    if not served or served[-1].child.process.poll() is not None:
        served.append(serve(repo, root, tmp_path_factory.mktemp("serve"), spawn))
    return served[-1]


def serve(repo: Path, root: Path, home: Path, spawn: Spawner) -> Serving:
    ports = free_port(), free_port()
    command = [sys.executable, "-m", "flows.serve", "--schedules"]
    command += ["--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    environment = {**os.environ, "PYTHONPATH": str(root), "PREFECT_HOME": str(home / "prefect")}
    environment |= {"MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}"}
    child = spawn(command, home / "serve.log", environment, cwd=repo)
    child.until("PREFECT_API_AUTH_STRING=")
    password = child.said().split("PREFECT_API_AUTH_STRING=")[1].split()[0]
    return Serving(f"http://127.0.0.1:{ports[0]}/api", child, password)


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium is installed here")
def test_prefects_page_works_for_who_has_the_password_and_asks_no_other_host(
    serving: Serving,
) -> None:
    from playwright.sync_api import sync_playwright

    by_address, asked = serving.api.removesuffix("/api"), []
    by_name = by_address.replace("127.0.0.1", "localhost")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        tab = browser.new_page()
        tab.set_default_timeout(1000 * LAST_SECONDS)
        tab.on("request", lambda request: asked.append(request.url))
        for server in (by_address, by_name):
            tab.goto(server)
            tab.get_by_placeholder("admin:pass").fill(serving.password)
            tab.keyboard.press("Enter")
            tab.get_by_text("Dashboard").first.wait_for()
            tab.goto(f"{server}/deployments")
            tab.get_by_text("often").first.wait_for()
        browser.close()
    assert len(asked) > 10 and not [
        url for url in asked if not url.startswith((by_address, by_name, "data:", "blob:"))
    ]


def test_scheduled_runs_succeed_fail_and_say_why_and_nothing_is_left(
    repo: Path, serving: Serving, spawn: Spawner
) -> None:
    asked: dict[str, Any] = {}
    for foreign in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}, {}):
        address = f"{serving.api}/flow_runs/filter"
        answer = httpx.post(address, json=asked, headers=foreign, timeout=LAST_SECONDS)
        assert answer.status_code == (400 if "Host" in foreign else 403), foreign
        assert "access-control-allow-origin" not in answer.headers
    answer = serving.post("/deployments/filter", asked, Origin="http://evil.example")
    assert answer.is_success and "access-control-allow-origin" not in answer.headers
    assert serving.post("/deployments/filter", asked, Host="localhost:4200").is_success

    (often,) = answer.json()
    command = {"job_variables": {"command": f"touch {repo}/seen"}}
    refused = serving.post(f"/deployments/{often['id']}/create_flow_run", command)
    assert not refused.is_success and "command" in refused.text

    commands = [" ".join(process.cmdline()) for process in spawn.left()]
    assert any("mlflow" in command for command in commands)
    assert not [command for command in commands if "mlflow.db" in command]

    good = serving.run("COMPLETED")
    assert good["auto_scheduled"] and (repo / "page").exists()
    names = subprocess.run(
        ["git", "for-each-ref", "refs/exps"], cwd=repo, capture_output=True, text=True
    ).stdout
    assert names and not (repo / ".git/MERGE_HEAD").exists()

    exported = dict(re.findall(r"export (\w+)=(\S+)", serving.child.said()))
    documented = [sys.executable, "-m", "prefect", "deployment", "run", "restoration/often"]
    done = subprocess.run(documented, env={**os.environ, **exported}, capture_output=True)
    assert done.returncode == 0, done.stdout

    (repo / "dvc.yaml").write_text(DVC_YAML.replace("echo training", "echo no memory; false"))
    bad = serving.run("FAILED")
    assert "stage train_restorer failed" in bad["state"]["message"]
    assert "no memory" in bad["state"]["message"]

    (repo / "dvc.yaml").write_text(DVC_YAML.replace("echo training", "sleep 3033"))
    busy = serving.run("RUNNING", lambda run: running("sleep 3033", repo))
    state = {"type": "CANCELLING", "name": "Cancelling"}
    answer = serving.post(f"/flow_runs/{busy['id']}/set_state", {"state": state})
    assert answer.status_code in (200, 201)
    serving.run("CANCELLED", lambda run: run["id"] == busy["id"])
    assert not running("sleep 3033", repo)

    serving.child.process.send_signal(signal.SIGINT)
    assert serving.child.end() == 0 and serving.child.said().endswith("ended\n")
    assert not spawn.left()


def running(what: str, folder: Path) -> bool:
    """Return whether a process with this command line works in the folder."""
    for process in psutil.process_iter():
        try:
            if what in " ".join(process.cmdline()) and process.cwd() == str(folder):
                return True
        except psutil.Error:
            continue
    return False


def test_a_killed_serve_leaves_neither_servers_nor_the_run_that_was_at_work(
    repo: Path, serving: Serving, spawn: Spawner
) -> None:
    (repo / "dvc.yaml").write_text(DVC_YAML.replace("echo training", "sleep 3036"))
    serving.run("RUNNING", lambda run: running("sleep 3036", repo))
    serving.child.process.kill()
    serving.child.end()
    wait_until(lambda: not spawn.left(), "something is left")
