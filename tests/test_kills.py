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
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.processes import LAST_SECONDS

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("REMINT_KILLS", "30"))
SEED = int(os.environ.get("REMINT_KILL_SEED", "1"))
TIMES = {"minutes", "seconds", "images_per_second"}  # what differs between any two runs


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml; outputs: what DVC removes before it runs."""

    name: str
    command: list[str]
    outputs: list[str]


def stages(root: Path) -> list[Stage]:
    """Return every stage in the order of the graph."""
    told = YAML(typ="safe").load(root / "dvc.yaml")["stages"]
    return [Stage(name, *command_and_outputs(stage)) for name, stage in told.items()]


def command_and_outputs(stage: dict[str, Any]) -> tuple[list[str], list[str]]:
    told = stage["cmd"] if isinstance(stage["cmd"], str) else stage["cmd"][-1]
    command = shlex.split(told.replace("${ingest.path}", "data/embedded"))[1:]
    given = [out if isinstance(out, dict) else {out: {}} for out in stage["outs"]]
    given += stage.get("metrics", [])
    return command, [path for out in given for path, how in out.items() if "persist" not in how]


def workplace(root: Path, folder: Path) -> Path:
    """Make a folder in which stages run as on the preset `tiny`."""
    folder.mkdir()
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(root / name, folder)
    (folder / "data/embedded").mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "tasks.commands.presets", "tiny"], cwd=folder, check=True)
    return folder


def start(stage: Stage, folder: Path) -> subprocess.Popen[bytes]:
    """Start a stage as DVC does, its outputs removed."""
    for output in stage.outputs:
        place = folder / output
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, *stage.command],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def whole(stage: Stage, folder: Path) -> float:
    """Run a stage to its end; return its seconds."""
    begun, process = time.monotonic(), start(stage, folder)
    assert process.wait(LAST_SECONDS) == 0, (folder / "log").read_text()[-2000:]
    return time.monotonic() - begun


def killed(stage: Stage, folder: Path, seconds: float) -> None:
    """Start a stage and kill it, and all its processes, after so many seconds."""
    process = start(stage, folder)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


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
    root: Path, tmp_path: Path
) -> None:
    calm, struck = (workplace(root, tmp_path / name) for name in ("calm", "struck"))
    seconds = {stage.name: whole(stage, calm) for stage in stages(root)}
    wanted = visible(calm)
    moments = random.Random(SEED)
    victims = [*seconds, *moments.choices(list(seconds), [*seconds.values()], k=KILLS)][:KILLS]
    for stage in stages(root):
        for _ in range(victims.count(stage.name)):
            killed(stage, struck, moments.uniform(0, seconds[stage.name]))
            seen = visible(struck)
            assert seen == {path: wanted.get(path) for path in seen}, stage.name
        whole(stage, struck)
    assert visible(struck) == wanted
    assert not [path for path in (struck / "data").rglob(".*") if path.is_dir()]
