"""What a running stage is made of: its code and parameters, noted when it begins.

DVC hashes both once the command has ended, so that an edit made meanwhile would be recorded as what
was used. The stage says so at its end; a flow reads that line and leaves the stage stale.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tasks.stage.console import say

CHANGED = "warning: changed while {stage} ran: "  # flows/stages.py looks for these words
EXACT = 2**53  # up to which each whole number is a float


@contextmanager
def watched(stage: str, root: Path) -> Iterator[None]:
    """Say after the block what of `stage` in `root`'s dvc.yaml has changed since it began.

    stage: "" outside DVC: nothing is noted then, as where there is no dvc.yaml.
    """
    known = bool(stage) and (root / "dvc.yaml").is_file()
    before = standing(stage, root) if known else {}
    yield
    after = standing(stage, root) if known else {}
    names = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    if names:
        say(
            CHANGED.format(stage=stage) + ", ".join(names) + "; what it wrote comes from what "
            f"stood there when it began: run it again (dvc repro -f -s {stage})"
        )


def standing(stage: str, root: Path) -> dict[str, str]:
    """Return the hash of every Python file and section of parameters that `stage` depends on."""
    graph = _parsed((root / "dvc.yaml").read_text(encoding="utf-8")) or {}
    written = graph.get("stages", {}).get(stage, {})
    hashes = {
        file.relative_to(root).as_posix(): _hash(file.read_bytes())
        for dependency in written.get("deps", [])
        for file in _code(root / dependency)
    }
    sections = [name for name in written.get("params", []) if isinstance(name, str)]
    values = _parsed((root / "params.yaml").read_text(encoding="utf-8")) if sections else {}
    for name in sections:
        value = json.dumps(_as_compared(_at(values, name)), sort_keys=True, default=str)
        hashes[f"params.yaml: {name}"] = _hash(value.encode())
    return hashes


@lru_cache(maxsize=4)  # a page asks after each stage, and parsing takes 0.1 s
def _parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def subject(stage: str, prints: Mapping[str, str]) -> dict[str, str]:
    """Return what the figures of `stage` speak of: fingerprints of model and data, and its code.

    prints: by name. code: one hash of what `standing` tells in the working folder, parameters
    too, empty where its dvc.yaml knows no such stage.
    """
    root = Path.cwd()
    parts = standing(stage, root) if (root / "dvc.yaml").is_file() else {}
    code = _hash(json.dumps(parts, sort_keys=True).encode()) if parts else ""
    return {**prints, "code": code}


def _code(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.rglob("*.py"))
    return [path] if path.suffix == ".py" and path.is_file() else []


def _at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _as_compared(value: Any) -> Any:
    """Return a value with 0 and 0.0 written alike: DVC compares numbers, and not their text."""
    if isinstance(value, Mapping):
        return {key: _as_compared(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_as_compared(part) for part in value]
    exact = type(value) is int and abs(value) <= EXACT
    return float(value) if exact else value


def _hash(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
