"""The flow's own run in MLflow, held open by a small process, since flows import no mlflow."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flows.stages import environment

CLOSE_SECONDS = 240.0


class Parent:
    """The parent run: its id for the stages' environment, figures and pictures at the end."""

    def __init__(self, process: subprocess.Popen[str], log: Callable[[str], None]) -> None:
        """process: `python -m tasks.commands.flow_run`; log: takes its warnings."""
        self.figures: dict[str, str] = {}  # group -> path of a JSON file
        self.models: dict[str, str] = {}  # name -> folder with sample grids
        self._process = process
        self._log = log
        self._opened: dict[str, Any] | None = None

    @property
    def opened(self) -> dict[str, Any]:
        """The run's `run_id`, `uri` and `url`; empty if MLflow has no run of this flow."""
        if self._opened is None:
            self._opened = self._read()
        return self._opened

    def context(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Return the environment that makes a stage's run a child of this one, with `tags`."""
        given = json.loads(os.environ.get("MLFLOW_RUN_CONTEXT", "{}"))
        run_id = self.opened.get("run_id")
        parent = {"mlflow.parentRunId": run_id, "pipeline_run_id": run_id} if run_id else {}
        return {"MLFLOW_RUN_CONTEXT": json.dumps({**given, **tags, **parent})}

    def close(self, status: str) -> None:
        """Hand over the figures and end the run as FINISHED, FAILED or KILLED."""
        assert self.opened is not None and self._process.stdin and self._process.stdout
        with suppress(BrokenPipeError):
            last = {"status": status, "figures": self.figures, "models": self.models}
            self._process.stdin.write(json.dumps(last) + "\n")
            self._process.stdin.close()
        for line in self._process.stdout:
            self._log(line.rstrip())
        self._process.wait(CLOSE_SECONDS)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
            self._log(line.rstrip())
        return {}


@contextmanager
def parent_run(
    name: str,
    tags: Mapping[str, str],
    log: Callable[[str], None],
    root: Path,
    params: Mapping[str, Any] | None = None,
) -> Iterator[Parent]:
    """Give the parent run of a flow; when the block raises, the run ends as failed.

    params: values in place of those of params.yaml.
    """
    pairs = [f"{key}={value}" for key, value in tags.items()]
    pairs += [f"--param={key}={json.dumps(value)}" for key, value in (params or {}).items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "tasks.commands.flow_run", name, *pairs],
        cwd=root,
        env=environment({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # ctrl-C is for the flow, which then ends the run in order
    )
    parent, status = Parent(process, log), "KILLED"  # unless it ends by itself
    with process:
        try:
            yield parent
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            parent.close(status)
