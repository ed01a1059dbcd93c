"""A flow's own run in MLflow: opened when the flow starts, given all that it made at its end.

A skipped stage logs no run, so the flow's run carries the figures and sample grids of all stages:
two flow runs can be compared by these runs alone. A process of its own holds it open, which is told
two lines of JSON: what to open, and how it ended. So the flow imports no MLflow, and waits for it
only where the first stage asks for the run's id; when the flow is killed, its end of the pipe
closes and the run ends as KILLED.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from tasks.stage.console import discreet


class FlowRun:
    """The run as the flow sees it. figures, models: what it is given at the end.

    figures: nested, by group; models: name to a folder with sample grids.
    """

    def __init__(self, said: IO[str], log: Callable[[str], None]) -> None:
        """said: what the process prints; log: takes its warnings."""
        self.figures: dict[str, Any] = {}
        self.models: dict[str, str] = {}
        self._said, self._log = said, log

    @cached_property
    def opened(self) -> dict[str, Any]:
        """The run's `run_id`, `uri` and `url`; run_id is None if MLflow has no run of the flow."""
        for line in self._said:
            if line.startswith("{"):
                return dict(json.loads(line))
            self._log(discreet(line.rstrip()))
        return {}

    def context(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Return the environment that makes a stage's run a child of this one, with `tags`."""
        given = json.loads(os.environ.get("MLFLOW_RUN_CONTEXT", "{}"))
        run_id = self.opened.get("run_id")
        parent = {"mlflow.parentRunId": run_id, "pipeline_run_id": run_id} if run_id else {}
        return {"MLFLOW_RUN_CONTEXT": json.dumps({**given, **tags, **parent})}


@contextmanager
def open_flow_run(
    name: str,
    tags: Mapping[str, str],
    log: Callable[[str], None],
    values: Mapping[str, Any] | None = None,
) -> Iterator[FlowRun]:
    """Give the run of a flow in the working folder; when the block raises, it ends as failed.

    values: parameters in place of those of params.yaml, by dotted key.
    """
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # ctrl-C is for the flow, which then ends the run in order
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        _tell(process.stdin, name, tags, values or {})
        run, status = FlowRun(process.stdout, log), "KILLED"  # unless it ends by itself
        try:
            yield run
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            assert run.opened is not None  # what it says before its end is in order
            _tell(process.stdin, status, run.figures, run.models)
            for line in process.stdout:
                log(discreet(line.rstrip()))


def _tell(pipe: IO[str], *words: Any) -> None:
    with suppress(BrokenPipeError):
        print(json.dumps(words), file=pipe, flush=True)


def main() -> None:
    """Be the process: open the run that the first line tells of, end it as the second says."""
    from tasks.tracking import runs

    name, tags, values = json.loads(sys.stdin.readline())
    run = runs.open_run(name, runs.provenance("flow", {}) | tags, parameters(values))
    opened = {"run_id": run.id, "uri": discreet(runs.tracking_uri()), "url": run.url}
    print(json.dumps(opened), flush=True)
    status, figures, models = json.loads(sys.stdin.readline() or '["KILLED", {}, {}]')
    run.metrics(numbers(figures))
    with tempfile.TemporaryDirectory() as folder:
        for model, trained in models.items():
            gather_grids(model, Path(trained), Path(folder))
        run.artifact(Path(folder))
    run.close(status)


def parameters(values: Mapping[str, Any]) -> dict[str, str]:
    """Return params.yaml under dotted keys, `values` in their place.

    Nothing stands for a file that can't be read, which a stage tells.
    """
    from tasks.stage import params
    from tasks.tracking.provenance import as_params

    try:
        return as_params(params.read("params.yaml")) | as_params(values)
    except (OSError, params.ParamsError):
        return as_params(values)


def numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return every number inside nested mappings under its dotted name."""
    from remint.core.dotted import dotted

    leaves = dotted(figures)
    return {key: float(leaf) for key, leaf in leaves.items() if type(leaf) in (int, float)}


def gather_grids(name: str, model: Path, folder: Path) -> None:
    """Copy a model's sample grids as `NAME-IMAGES.png`; MLflow compares what lies in no folder."""
    for grid in sorted((model / "samples").glob("*.png")):
        shutil.copy(grid, folder / f"{name}-{grid.name}")


if __name__ == "__main__":
    main()
