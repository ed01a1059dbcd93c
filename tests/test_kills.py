"""SIGKILL at random moments in every stage: nothing half-made is seen, the end is the same.

REMINT_KILLS says how often (30), REMINT_KILL_SEED when.
"""

import hashlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tasks.commands import presets
from tests.warm import Warm

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("REMINT_KILLS", "30"))
SEED = int(os.environ.get("REMINT_KILL_SEED", "1"))
TIMES = {"minutes", "seconds", "images_per_second"}  # what differs between any two runs


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml; command: after `python -m`; outputs: what DVC removes before it runs."""

    name: str
    command: list[str]
    outputs: list[str]


def stages(root: Path) -> list[Stage]:
    """Return every stage in the order of the graph."""
    told = YAML(typ="safe").load(root / "dvc.yaml")["stages"]
    return [Stage(name, *command_and_outputs(stage)) for name, stage in told.items()]


def command_and_outputs(stage: dict[str, Any]) -> tuple[list[str], list[str]]:
    told = stage["cmd"] if isinstance(stage["cmd"], str) else stage["cmd"][-1]
    command = shlex.split(told.replace("${ingest.path}", "data/embedded"))[2:]
    given = [out if isinstance(out, dict) else {out: {}} for out in stage["outs"]]
    given += stage.get("metrics", [])
    return command, [path for out in given for path, how in out.items() if "persist" not in how]


@dataclass(frozen=True)
class Place:
    """A folder in which stages run, and what starts them there."""

    folder: Path
    python: Warm

    def start(self, stage: Stage) -> int:
        """Start a stage, its outputs removed as DVC does; return its process."""
        for output in stage.outputs:
            path = self.folder / output
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return self.python.start(stage.command, self.folder, self.folder / "log")

    def whole(self, stage: Stage) -> float:
        """Run a stage to its end; return its seconds."""
        begun = time.monotonic()
        self.start(stage)
        assert self.python.status() == 0, (self.folder / "log").read_text()[-2000:]
        return time.monotonic() - begun

    def killed(self, stage: Stage, seconds: float) -> None:
        """Start a stage and kill it, and all its processes, after so many seconds."""
        process = self.start(stage)
        if not self.python.ended_within(seconds):
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(process, signal.SIGKILL)
        self.python.status()


@pytest.fixture
def places(root: Path, tmp_path: Path) -> Iterator[list[Place]]:
    """Two folders in which stages run as on the preset `tiny`, each with a Python of its own."""
    modules = sorted({stage.command[0] for stage in stages(root)})
    with ExitStack() as stack:
        made = []
        for folder in (tmp_path / "calm", tmp_path / "struck"):
            (folder / "data/embedded").mkdir(parents=True)
            for name in ("dvc.yaml", "params.yaml"):
                shutil.copy(root / name, folder)
            presets.apply_preset("tiny", folder / "params.yaml")
            made.append(Place(folder, stack.enter_context(closing(Warm(*modules, "mlflow")))))
        yield made


def content(path: Path) -> str:
    """Return a digest of what a file says, times left out."""
    if path.suffix == ".csv":
        table = pd.read_csv(path)
        return table.drop(columns=[c for c in table if str(c) in TIMES]).to_json()
    if path.suffix == ".json":
        return json.dumps(timeless(json.loads(path.read_text())), sort_keys=True)
    if path.suffix == ".html":  # a page tells times: all but numbers and curves must be the same
        page = re.sub(r"<svg.*?</svg>", "", path.read_text(), flags=re.DOTALL)
        return re.sub(r"\d[\d.,]*(e-?\d+)?", "#", page)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def timeless(value: object) -> object:
    if isinstance(value, dict):
        return {key: timeless(part) for key, part in value.items() if key not in TIMES}
    return [timeless(part) for part in value] if isinstance(value, list) else value


def visible(folder: Path) -> dict[str, str]:
    """Return the content of every file below data/ that is not hidden, by its path.

    What a training keeps for itself to go on from is read by the training alone.
    """
    found = {}
    for path in sorted((folder / "data").rglob("*")):
        parts = path.relative_to(folder).parts
        private = "checkpoints" in parts or parts[:2] == ("data", "cache")
        if path.is_file() and not private and not any(part.startswith(".") for part in parts):
            found["/".join(parts)] = content(path)
    return found


def test_after_any_kill_nothing_half_made_is_seen_and_the_end_is_the_same(
    root: Path, places: list[Place]
) -> None:
    calm, struck = places
    seconds = {stage.name: calm.whole(stage) for stage in stages(root)}
    wanted = visible(calm.folder)
    moments = random.Random(SEED)
    victims = [*seconds, *moments.choices(list(seconds), [*seconds.values()], k=KILLS)][:KILLS]
    for stage in stages(root):
        for _ in range(victims.count(stage.name)):
            struck.killed(stage, moments.uniform(0, seconds[stage.name]))
            seen = visible(struck.folder)
            assert seen == {path: wanted.get(path) for path in seen}, stage.name
        struck.whole(stage)
    assert visible(struck.folder) == wanted
    assert not [path for path in (struck.folder / "data").rglob(".*") if path.is_dir()]
