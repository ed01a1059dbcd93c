"""DVC remotes: what one machine pushes, a clone elsewhere pulls, and runs nothing again.

moto's server stands in for an S3 store: it speaks the protocol, and says nothing of a real store's
speed or rights.
"""

import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.processes import Spawner
from tests.servers import Server, free_port

DVC_YAML = """
stages:
  ingest:
    cmd: mkdir clean && python -c "open('clean/part','w').write(open('in').read() * 1000)"
    deps: [in]
    outs: [clean]
  train:
    cmd: cat clean/part > model && echo '{"psnr":30.5}' > metrics.json
    deps: [clean]
    outs: [model]
    metrics: [{metrics.json: {cache: false}}]
"""
KEYS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, **KEYS, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dvc(folder: Path, *arguments: str) -> str:
    return run(folder, sys.executable, "-m", "dvc", *arguments)


@pytest.fixture
def trained(tmp_path: Path, root: Path) -> Path:
    """A repository whose pipeline has run."""
    folder = tmp_path / "here"
    (folder / ".dvc").mkdir(parents=True)
    for name in ("config", ".gitignore"):
        shutil.copy(root / ".dvc" / name, folder / ".dvc")
    (folder / ".dvcignore").touch()
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / "in").write_text("pixels")
    run(folder, "git", "init", "-q")
    dvc(folder, "repro", "-q")
    (folder / ".gitignore").write_text("/clean\n/model\n")
    return folder


def comes_back(here: Path, there: Path) -> None:
    """Push from one clone, pull into another: all data are there, and nothing runs."""
    run(here, "git", "add", "-A")
    run(here, "git", "commit", "-qm", "trained")
    dvc(here, "push", "-q")
    run(here.parent, "git", "clone", "-q", str(here), str(there))
    assert not (there / "model").exists()
    dvc(there, "pull", "-q")
    assert (there / "clean/part").read_text() == "pixels" * 1000
    assert "Running stage" not in dvc(there, "repro")


def test_a_local_remote_brings_everything_to_another_clone(trained: Path, tmp_path: Path) -> None:
    dvc(trained, "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    comes_back(trained, tmp_path / "there")


@pytest.fixture
def endpoint(tmp_path: Path, spawn: Spawner) -> str:
    """The address of an S3 server with a bucket."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    Server(command, f"{address}/moto-api/", tmp_path / "s3.log", spawn).start()
    bucket = urllib.request.Request(f"{address}/bucket", method="PUT")
    urllib.request.urlopen(bucket, timeout=60).close()
    return address


def test_an_s3_store_brings_everything_to_another_clone(
    trained: Path, tmp_path: Path, endpoint: str
) -> None:
    dvc(trained, "remote", "add", "-q", "-d", "store", "s3://bucket/remint")
    dvc(trained, "remote", "modify", "-q", "store", "endpointurl", endpoint)
    comes_back(trained, tmp_path / "there")
    assert "not-a-secret" not in (trained / ".dvc/config").read_text()


def test_a_store_that_is_not_there_is_said_and_nothing_is_lost(trained: Path) -> None:
    dvc(trained, "remote", "add", "-q", "-d", "store", "s3://bucket/remint")
    dvc(trained, "remote", "modify", "-q", "store", "endpointurl", "http://127.0.0.1:9")
    dvc(trained, "remote", "modify", "-q", "store", "connect_timeout", "1")
    with pytest.raises(AssertionError, match=r"127\.0\.0\.1:9|[Ff]ailed to"):
        dvc(trained, "push")
    assert "Running stage" not in dvc(trained, "repro")
