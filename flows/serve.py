"""`make serve`: Prefect's server, a worker and MLflow's pages on this machine, for a person to try.

All listen on loopback only, and Prefect's API wants a password that is made for the session: any
page in a browser on this machine can reach loopback, and who may start a run may run commands.
Ctrl-C ends all of them; nothing stays behind.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from flows import stages
from flows.servers import (
    HOST,
    PYTHON,
    UVICORN,
    NotServingError,
    await_answer,
    background,
    locked,
    refuse_taken,
)
from tasks.stage.console import discreet

POOL, LIMIT = "local-gpu", "gpu"
# Without command, env and working_dir, each of which lets who starts a run start any program.
TEMPLATE = Path(__file__).with_name("process_pool.json")
LOGS = Path(".dvc/tmp/serve")  # ignored by git, as all of .dvc/tmp


def main(argv: Sequence[str] | None = None) -> None:
    """Start everything, wait for Ctrl-C, end everything."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=__doc__)
    parser.add_argument("--prefect-port", type=int, default=4200)
    parser.add_argument("--mlflow-port", type=int, default=5000)
    parser.add_argument("--schedules", action="store_true", help="let the schedules run, too")
    given = parser.parse_args(argv)
    stages.end_in_order(0)
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
    refuse_taken(prefect_port, "Prefect")
    refuse_taken(mlflow_port, "MLflow")
    logs = root / LOGS
    logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        running: dict[str, subprocess.Popen[Any]] = {}
        said: dict[str, IO[bytes]] = {}

        def start(name: str, *command: str) -> None:
            said[name] = stack.enter_context(open(logs / f"{name.split()[-1].lower()}.log", "w+b"))
            running[name] = stack.enter_context(background(command, address, root, said[name]))

        address = {**locked(prefect), "MLFLOW_BACKEND_STORE_URI": store}
        address["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        start("Prefect", *UVICORN, "--factory", "flows.guarded:app", "--port", str(prefect_port))
        start("MLflow", "mlflow", "ui", "--host", HOST, "--port", str(mlflow_port))
        await_answer(f"{prefect}/api/health", "Prefect", running["Prefect"], said["Prefect"])
        prepare(address, root, schedules)
        start("the worker", "prefect", "worker", "start", "--pool", POOL)
        await_answer(f"{mlflow}/health", "MLflow", running["MLflow"], said["MLflow"])
        print(f"Prefect: {prefect}   MLflow: {mlflow}   Ctrl-C ends both", flush=True)
        print(f"What they say stands in {LOGS}. Prefect's pages ask for this session's password,")
        print("and so do its commands; for those, in another terminal:", flush=True)
        print(f"  export PREFECT_API_URL={address['PREFECT_API_URL']}", flush=True)
        print(f"  export PREFECT_API_AUTH_STRING={address['PREFECT_API_AUTH_STRING']}", flush=True)
        if not schedules:
            print("Schedules are paused here; run a deployment by hand, or --schedules", flush=True)
        watch(running)


def prepare(env: Mapping[str, str], root: Path, schedules: bool) -> None:
    """Make the work pool and the limit, where they are not there yet, and deploy."""
    call = stages.environment({**env, "PREFECT_LOGGING_LEVEL": "ERROR"})

    def ask(*command: str, may_fail: bool = False) -> None:
        done = subprocess.run(
            [*PYTHON, "prefect", "--no-prompt", *command],
            cwd=root,
            env=call,
            capture_output=True,
            text=True,
        )
        if done.returncode and not may_fail:
            said = discreet((done.stderr or done.stdout).strip())
            raise NotServingError(f"prefect {command[0]}: {said}")

    ask("work-pool", "create", POOL, "--type", "process", may_fail=True)  # it may be there
    ask("work-pool", "update", POOL, "--base-job-template", str(TEMPLATE))
    ask("gcl", "create", LIMIT, "--limit", "1", may_fail=True)
    ask("deploy", "--all")
    ask("deployment", "schedule", "resume" if schedules else "pause", "--all")


def watch(running: Mapping[str, subprocess.Popen[Any]]) -> None:
    """Return never while all run; NotServingError names the first that ended."""
    while True:
        for name, process in running.items():
            if process.poll() is not None:
                raise NotServingError(f"{name} ended with {process.returncode}; see {LOGS}")
        time.sleep(1)


if __name__ == "__main__":
    main()
