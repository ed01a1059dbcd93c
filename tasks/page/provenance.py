"""Where the page's figures come from: commit, hashes of data, parameters, versions."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tasks.page.words import flat
from tasks.stage import params
from tasks.stage.git import head

PACKAGES = ("remint", "torch", "numpy", "pillow", "opencv-python-headless", "dvc")


@dataclass(frozen=True)
class Output:
    """One output of a stage as dvc.lock knows it."""

    stage: str
    path: str
    hash: str
    bytes: int | None


@dataclass(frozen=True)
class Provenance:
    """commit: hash, empty outside git; changed: tracked files differ from it.

    outputs: of the stages that dvc.lock knows. sections: parameters by section, as text.
    """

    commit: str
    changed: bool
    outputs: list[Output]
    sections: dict[str, dict[str, str]]
    values: dict[str, Any]
    versions: dict[str, str]


def collect(root: Path, params_path: Path, todays: Collection[str] = ()) -> Provenance:
    """Return what git, dvc.lock and the parameters file in and around `root` say.

    Parameters that dvc.lock records were the ones used and win over those of the file, but for
    `todays`: sections of which it is known that the file's were.
    """
    lock = params.read(root / "dvc.lock") if (root / "dvc.lock").is_file() else {}
    stages = lock.get("stages", {})
    values = params.read(params_path) if params_path.is_file() else {}
    used = _recorded(stages, params_path.name)
    values |= {name: part for name, part in used.items() if name not in todays}
    commit, changed = head(root)
    return Provenance(
        commit=commit,
        changed=changed,
        outputs=[output for name, entry in stages.items() for output in _outputs(name, entry)],
        sections={
            name: flat(part) if isinstance(part, Mapping) else {name: str(part)}
            for name, part in values.items()
        },
        values=values,
        versions=_versions(),
    )


def _recorded(stages: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return whole sections that dvc.lock recorded; single dotted keys are no section."""
    sections: dict[str, Any] = {}
    for entry in stages.values():
        recorded = (entry.get("params") or {}).get(file) or {}
        sections |= {key: value for key, value in recorded.items() if "." not in key}
    return sections


def _outputs(name: str, entry: Mapping[str, Any]) -> list[Output]:
    return [
        Output(name, str(out["path"]), str(out.get("md5", out.get("hash", ""))), out.get("size"))
        for out in entry.get("outs", [])
    ]


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
