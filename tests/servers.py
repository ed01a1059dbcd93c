"""Servers that tests start on this machine, kill, and start again; stages that take no time."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

EVALUATE = """
  evaluate_restorer:
    cmd: mkdir -p data/reports/restorer && echo '{"psnr":30.5}' > data/reports/restorer/metrics.json
    deps: [model]
    metrics: [{data/reports/restorer/metrics.json: {cache: false}}]
"""
DVC_YAML = f"""
stages:
  train_restorer:
    cmd: echo training && cp in model
    deps: [in]
    outs: [model]
{EVALUATE}
  report_restoration:
    cmd: cp data/reports/restorer/metrics.json page
    deps: [data/reports/restorer/metrics.json]
    outs: [page]
"""


def free_port() -> int:
    """Return a port of the loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Return when something is true; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.2)


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


class Server:
    """A server of this machine, in a process group that can be killed and started again."""

    def __init__(self, command: list[str], health: str, log: Path) -> None:
        self.command, self.health, self.log = command, health, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(lambda: answers(self.health), 120, f"no answer from {self.health}")

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def quick_repository(folder: Path, root: Path, graph: str = DVC_YAML) -> None:
    """Make a folder a repository of quick stages with the project's own flows."""
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(root / ".dvc" / name, folder / ".dvc")
    shutil.copytree(root / "flows", folder / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in {
        ".dvcignore": "",
        ".gitignore": "__pycache__\nmlflow.db\nmlruns\n",
        "dvc.yaml": graph,
        "in": "1",
    }.items():
        (folder / name).write_text(text)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
