"""Names by content: of a trained model, the same everywhere; of work that can be gone on with."""

import hashlib
import json
from collections.abc import Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def model_fingerprint(folder: Path) -> str:
    """Return BLAKE2b-128 hex of every safetensors file of a model's folder, by name.

    Raises ValueError where there is none.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder}: found no weights (*.safetensors), needed a trained model")
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def work_fingerprint(given: Any, packages: Iterable[str], libraries: Iterable[str]) -> str:
    """Return 16 hex digits of what decides a result: what went in, the code, and its libraries.

    given: JSON-able; packages: whose Python files are read, such as "remint.images"; libraries:
    distributions whose versions count.
    """
    digest = hashlib.blake2b(json.dumps(given, sort_keys=True).encode(), digest_size=8)
    for package in packages:
        spec = find_spec(package)
        assert spec is not None and spec.submodule_search_locations
        for file in sorted(Path(spec.submodule_search_locations[0]).rglob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    digest.update(json.dumps([version(name) for name in libraries]).encode())
    return digest.hexdigest()
