"""However who started something ends, Ctrl-C, a closed terminal or SIGKILL: it ends, too."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import tied
from tests.processes import Child, Spawner, wait_until
from tests.servers import DVC_YAML, quick_repository

STARTER = """
import sys, time
from flows import tied
tied.start(["/bin/sh", "-c", sys.argv[1]], 1.0)
print("started", flush=True)
time.sleep(600)
"""
DEAF = "setsid -w true; (trap '' TERM; sleep 600) & echo both; sleep 600"


def test_a_killed_starter_leaves_nothing_not_even_what_ignores_sigterm(
    tmp_path: Path, spawn: Spawner
) -> None:
    starter = spawn([sys.executable, "-c", STARTER, DEAF], tmp_path / "log")
    starter.until("both")
    starter.process.kill()
    starter.end()
    wait_until(lambda: not spawn.left(), "something is left")


def test_a_command_is_asked_first_so_that_it_can_save(tmp_path: Path) -> None:
    script = "trap 'touch saved; exit 0' TERM; touch begun; while true; do sleep 0.1; done"
    process = tied.start(["/bin/sh", "-c", script], cwd=tmp_path)
    wait_until((tmp_path / "begun").exists, "it did not begin")
    tied.end(process)
    assert (tmp_path / "saved").exists()


@pytest.mark.parametrize(("command", "status"), [("exit 3", 3), ("kill -9 $$", 137)])
def test_a_status_is_the_commands_own(command: str, status: int) -> None:
    with tied.start(["/bin/sh", "-c", command]) as process:
        assert process.wait() == status


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Prefect's temporary servers keep their database, which takes long to make."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture
def flow(
    tmp_path: Path, root: Path, home: Path, spawn: Spawner, monkeypatch: pytest.MonkeyPatch
) -> Child:
    """A flow with a temporary server, whose first stage is at work."""
    (folder := tmp_path / "repo").mkdir()
    quick_repository(folder, root)
    slow = DVC_YAML.replace("echo training", "echo now training; sleep 3035")
    (folder / "dvc.yaml").write_text(slow)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    command = [sys.executable, "-m", "flows.pipeline", "restoration"]
    env = {**os.environ, "PYTHONPATH": str(root), "PREFECT_HOME": str(home)}
    flow = spawn(command, tmp_path / "flow.log", env, cwd=folder)
    flow.until("- now training")
    assert any("flows.guarded" in " ".join(process.cmdline()) for process in spawn.left())
    return flow


def as_a_terminal(sign: signal.Signals) -> Callable[[Child], None]:
    """Return what sends a signal to all of a process's group, as a terminal does."""
    return lambda child: os.killpg(child.process.pid, sign)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strike", "status"),
    [(as_a_terminal(signal.SIGINT), 130), (as_a_terminal(signal.SIGHUP), 143)],
    ids=["ctrl-c", "closed terminal"],
)
def test_a_flow_that_is_interrupted_tells_its_server_so_and_ends_at_once(
    flow: Child, spawn: Spawner, strike: Callable[[Child], None], status: int
) -> None:
    begun = time.monotonic()
    strike(flow)
    assert flow.end() == status, flow.said()[-2000:]
    # 4 s on a quiet machine; 225 s with Prefect's own server
    assert time.monotonic() - begun < 10 * max(4, os.getloadavg()[0])
    assert "Finished in state Crashed" in flow.said() and "onnect" not in flow.said()
    assert not spawn.left()


@pytest.mark.slow
def test_a_killed_flow_leaves_neither_stage_nor_server(flow: Child, spawn: Spawner) -> None:
    flow.process.kill()
    flow.end()
    wait_until(lambda: not spawn.left(), "something is left")
