"""Servers that tests start on this machine, kill, and start again; stages that take no time."""

import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from tests.processes import Child, Spawner, wait_until

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


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


class Server:
    """A server of this machine, which can be killed and started again."""

    def __init__(self, command: list[str], health: str, log: Path, spawn: Spawner) -> None:
        self.command, self.health, self.log, self.spawn = command, health, log, spawn
        self.child: Child | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        self.child = self.spawn(self.command, self.log)
        wait_until(lambda: answers(self.health), f"no answer from {self.health}", self.child)

    def kill(self) -> None:
        if self.child:
            self.child.kill()


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
