"""How long it takes to find out that nothing has to be done: `dvc repro`, and the Prefect flow.

python -m bench.no_op [--repeat 3]

Needs a pipeline that is up to date (`make run`). Prints the median of wall-clock seconds, and all
of them: for plain `dvc repro`, for the flow with a temporary server of its own, and for the flow
beside a server that runs already, which is started here on a free port of this machine.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

DVC = [sys.executable, "-m", "dvc"]
FLOW = [sys.executable, "-m", "flows.pipeline", "pipeline"]
QUIET = {
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
}


def main() -> None:
    """Measure and print the three rows."""
    parser = argparse.ArgumentParser(prog="python -m bench.no_op", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each kind, after a first")
    repeat = parser.parse_args().repeat
    require_up_to_date()
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, **QUIET, "PREFECT_HOME": home}
        env.pop("PREFECT_API_URL", None)
        tell("dvc repro", [*DVC, "repro"], env, repeat)
        tell("flow, temporary server", FLOW, env, repeat)
        with server(env) as url:
            tell("flow, running server", FLOW, {**env, "PREFECT_API_URL": url}, repeat)


def require_up_to_date() -> None:
    """End with a sentence unless DVC has nothing to do."""
    done = subprocess.run([*DVC, "status", "--quiet"], env={**os.environ, **QUIET})
    if done.returncode:
        raise SystemExit("error: the pipeline is not up to date; `make run` first, then measure")


def tell(label: str, command: list[str], env: Mapping[str, str], repeat: int) -> None:
    """Print the median of `repeat` runs, after one that warms caches and databases."""
    seconds = [timed(command, env) for _ in range(repeat + 1)][1:]
    each = " ".join(f"{value:.1f}" for value in seconds)
    print(f"{label:<24} {median(seconds):6.1f} s   ({each})", flush=True)


def timed(command: list[str], env: Mapping[str, str]) -> float:
    """Run a command that must do nothing and succeed; return wall-clock seconds."""
    start = time.perf_counter()
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    if done.returncode or "Running stage" in done.stdout + done.stderr:
        raise SystemExit(f"error: this was no no-op:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds


@contextmanager
def server(env: Mapping[str, str]) -> Iterator[str]:
    """Give the API address of a Prefect server on this machine, ended afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env=env, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/api/health")
            yield f"http://127.0.0.1:{port}/api"
        finally:
            process.terminate()
            process.wait(60)


def wait_for(address: str) -> None:
    """Return when the address answers, after three minutes at most."""
    for _ in range(360):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise SystemExit(f"error: no Prefect server at {address} within three minutes")


if __name__ == "__main__":
    assert Path("dvc.yaml").is_file(), "run this from the repository's root"
    main()
