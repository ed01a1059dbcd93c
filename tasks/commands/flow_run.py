"""The parent run of a flow: opened when the flow starts, given all that it made at its end.

`python -m tasks.commands.flow_run NAME [KEY=VALUE ...] [--param KEY=VALUE ...]` prints one JSON
line with the run's id, waits for one JSON line on stdin, {"status": "FINISHED", "figures":
{"restorer": "path/metrics.json"}, "models": {"restorer": "path"}}, and ends the run. Its parameters
are those of params.yaml, with --param's in their place. A skipped stage logs no run of its own, so
figures and sample grids come from its files: two flow runs can be compared by these runs alone.
When stdin ends without a word, the flow was killed, and so is the run.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.stage import params, stage
from tasks.stage.console import discreet
from tasks.stage.dotted import dotted
from tasks.tracking import runs
from tasks.tracking.provenance import as_params


def main(argv: Sequence[str] | None = None) -> None:
    """Open the run, wait for the flow's last word, close it."""
    parser = argparse.ArgumentParser(prog="python -m tasks.commands.flow_run", description=__doc__)
    parser.add_argument("name", help="name of the run: the flow run's")
    parser.add_argument("tags", nargs="*", metavar="KEY=VALUE", help="tags of the run")
    parser.add_argument("--param", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args(argv)
    values = parameters() | dict(pair.split("=", 1) for pair in given.param)
    tags = runs.provenance("flow", {}) | dict(tag.split("=", 1) for tag in given.tags)
    run = runs.open_run(given.name, tags, values)
    opened = {"run_id": run.id, "uri": discreet(runs.tracking_uri()), "url": run.url}
    print(json.dumps(opened), flush=True)
    last = json.loads(sys.stdin.readline() or '{"status": "KILLED"}')
    run.metrics(figures(last.get("figures", {})))
    for name, folder in last.get("models", {}).items():
        grids(run, name, Path(folder))
    run.close(last["status"])


def parameters() -> dict[str, str]:
    """Return params.yaml under dotted keys; nothing where it can't be read, which a stage tells."""
    try:
        return as_params(params.read("params.yaml"))
    except (OSError, params.ParamsError):
        return {}


def grids(run: runs.Run, name: str, model: Path) -> None:
    """Log a model's sample grids as `NAME-IMAGES.png`; MLflow compares what lies in no folder."""
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted((model / "samples").glob("*.png")):
            shutil.copy(path, Path(folder, f"{name}-{path.name}"))
        run.artifact(Path(folder))


def figures(files: Mapping[str, str]) -> dict[str, float]:
    """Return every number of the JSON files as `group.name`; files: group to path.

    A file that is absent counts as empty: its stage did not come to run.
    """
    named: dict[str, Any] = {}
    for group, path in files.items():
        if Path(path).is_file():
            named |= dotted({group: json.loads(Path(path).read_text(encoding="utf-8"))})
    return {key: float(leaf) for key, leaf in named.items() if type(leaf) in (int, float)}


if __name__ == "__main__":
    stage.entry(main)
