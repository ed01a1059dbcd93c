"""`make serve`: Prefect's server, a worker and MLflow's pages on this machine, for a person to try.

All listen on loopback only, and Prefect's API wants a password that is made for the session: any
page in a browser on this machine can reach loopback, and who may start a run may run commands.
Ctrl-C ends all of them; nothing stays behind.
"""

import argparse
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from flows.stages import end_group, environment

POOL, LIMIT = "local-gpu", "gpu"
HOST = "127.0.0.1"
START_SECONDS = 180.0
LOGS = Path(".dvc/tmp/serve")  # ignored by git, as all of .dvc/tmp
# With leases in files, a holder that is lost frees the GPU in a minute, also over a restart.
LEASES = {
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
PYTHON = (sys.executable, "-m")


class NotServingError(RuntimeError):
    """A server did not come up, or went away."""


def main(argv: Sequence[str] | None = None) -> None:
    """Start everything, wait for Ctrl-C, end everything."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=__doc__)
    parser.add_argument("--prefect-port", type=int, default=4200)
    parser.add_argument("--mlflow-port", type=int, default=5000)
    parser.add_argument("--schedules", action="store_true", help="let the schedules run, too")
    given = parser.parse_args(argv)
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, lambda *_: sys.exit(0))
    try:
        serve(Path.cwd(), given.prefect_port, given.mlflow_port, given.schedules)
    except KeyboardInterrupt:
        print("ended", flush=True)
    except NotServingError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def serve(root: Path, prefect_port: int, mlflow_port: int, schedules: bool) -> None:
    """Run until interrupted, or until one of the processes ends (NotServingError)."""
    prefect, mlflow = f"http://{HOST}:{prefect_port}", f"http://{HOST}:{mlflow_port}"
    store = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    logs = root / LOGS
    logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        running: dict[str, subprocess.Popen[bytes]] = {}

        def start(name: str, *command: str, env: Mapping[str, str]) -> None:
            log = stack.enter_context(open(logs / f"{name.split()[-1].lower()}.log", "wb"))
            running[name] = stack.enter_context(background(command, env, root, log))

        address = {**LEASES, **locked(prefect), "MLFLOW_BACKEND_STORE_URI": store}
        listen = ("--host", HOST, "--port")
        start("Prefect", "prefect", "server", "start", *listen, str(prefect_port), env=address)
        start("MLflow", "mlflow", "ui", *listen, str(mlflow_port), env=address)
        await_answer(f"{prefect}/api/health", "Prefect", running)
        prepare(address, root, schedules)
        start("the worker", "prefect", "worker", "start", "--pool", POOL, env=address)
        await_answer(f"{mlflow}/health", "MLflow", running)
        print(f"Prefect: {prefect}   MLflow: {mlflow}   Ctrl-C ends both", flush=True)
        print(f"What they say stands in {LOGS}. Prefect's pages ask for this session's password,")
        print("and so do its commands; for those, in another terminal:", flush=True)
        print(f"  export PREFECT_API_URL={address['PREFECT_API_URL']}", flush=True)
        print(f"  export PREFECT_API_AUTH_STRING={address['PREFECT_API_AUTH_STRING']}", flush=True)
        if not schedules:
            print("Schedules are paused here; run a deployment by hand, or --schedules", flush=True)
        watch(running)


def locked(prefect: str) -> dict[str, str]:
    """Return the settings under which Prefect's server and clients share a password of today's.

    A foreign page knows no password, whatever Host or Origin it sends; no other origin is allowed.
    """
    given = os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    password = given or f"remint:{secrets.token_urlsafe(16)}"
    return {
        "PREFECT_API_URL": f"{prefect}/api",
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_API_AUTH_STRING": password,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": prefect,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    }


@contextmanager
def background(
    command: Sequence[str], env: Mapping[str, str], root: Path, log: BinaryIO
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a process group of its own, which ends with the block; log its output."""
    process = subprocess.Popen(
        [*PYTHON, *command],
        cwd=root,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end_group(process)


def prepare(env: Mapping[str, str], root: Path, schedules: bool) -> None:
    """Make the work pool and the limit, where they are not there yet, and deploy."""
    call = environment({**env, "PREFECT_LOGGING_LEVEL": "ERROR"})

    def ask(*command: str, may_fail: bool = False) -> None:
        done = subprocess.run(
            [*PYTHON, "prefect", "--no-prompt", *command],
            cwd=root,
            env=call,
            capture_output=True,
            text=True,
        )
        if done.returncode and not may_fail:
            raise NotServingError(f"prefect {command[0]}: {(done.stderr or done.stdout).strip()}")

    ask("work-pool", "create", POOL, "--type", "process", may_fail=True)  # it may be there
    ask("gcl", "create", LIMIT, "--limit", "1", may_fail=True)
    ask("deploy", "--all")
    ask("deployment", "schedule", "resume" if schedules else "pause", "--all")


def await_answer(url: str, name: str, running: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Wait until an address answers; NotServingError when it does not, or its process ended."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if running[name].poll() is not None:
            raise NotServingError(
                f"{name} ended at once, as {LOGS} says; is another program at {url}?"
            )
        with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.5)
    raise NotServingError(f"{name} did not answer at {url} within {START_SECONDS:.0f} s")


def watch(running: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Return never while all run; NotServingError names the first that ended."""
    while True:
        for name, process in running.items():
            if process.poll() is not None:
                raise NotServingError(f"{name} ended with {process.returncode}; see {LOGS}")
        time.sleep(1)


if __name__ == "__main__":
    main()
