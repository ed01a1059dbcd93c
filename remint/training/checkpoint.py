"""Checkpoints: tensors in safetensors, the rest in JSON, whole or absent, never pickled.

errors:
    CheckpointError   a checkpoint is unreadable, or belongs to another configuration or data
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from remint.core.atomic import replaced_folder
from remint.core.dotted import dotted
from remint.networks.weights import write_tensors

TENSORS, FACTS = "state.safetensors", "state.json"
FORMAT = 4  # of what a checkpoint holds
# Settings of the sections data and loop that may change between a run and its continuation.
OPERATIONAL = ("workers", "memory_share", "log_every", "sample_every", "checkpoint_every", "keep")
# In how many parts a batch is taken may change as well, where that only sums in another order.
PARTS = "accumulate"


class CheckpointError(ValueError):
    """A checkpoint can't be used; the sentence names the difference or the damage."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to go on exactly: tensors by name and JSON-able facts."""

    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]


class CheckpointStore:
    """A folder of checkpoints named by images seen; the last `keep` stay.

    identity: nested configuration and data fingerprints; a checkpoint made under another identity
    is refused with the differences named.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], keep: int) -> None:
        self.folder = Path(folder)
        self.identity = {"format": FORMAT, **json.loads(json.dumps(identity))}
        self.keep = keep

    def save(self, images: int, checkpoint: Checkpoint) -> None:
        """Write the checkpoint of this many images seen, whole or not at all; drop old ones."""
        facts = {"identity": self.identity, **checkpoint.facts}
        with replaced_folder(self.folder / f"{images:012d}") as folder:
            write_tensors(folder / TENSORS, checkpoint.tensors)
            facts["checksum"] = _checksum(folder / TENSORS)
            (folder / FACTS).write_text(json.dumps(facts, indent=1, sort_keys=True))
        for old in self._whole()[: -self.keep]:
            shutil.rmtree(old)

    def _whole(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(p for p in self.folder.iterdir() if p.name.isdigit())

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint, or None where there is none.

        Raises CheckpointError when it is unreadable or of another identity.
        """
        kept = self._whole()
        if not kept:
            return None
        checkpoint = _read(kept[-1])
        self._refuse_another(kept[-1], checkpoint.facts.get("identity", {}))
        return checkpoint

    def _refuse_another(self, path: Path, identity: dict[str, Any]) -> None:
        now = dotted(self.identity)
        # runs from before PARTS could change have noted it all the same
        then = {
            name: value
            for name, value in dotted(identity).items()
            if name in now or not name.endswith(f".loop.{PARTS}")
        }
        changed = differences(then, now)
        if changed:
            raise CheckpointError(
                f"{path} is of another run: {'; '.join(changed)}. Restore that setting to go on "
                f"with it, or remove {self.folder.parent} to start afresh"
            )


def _read(path: Path) -> Checkpoint:
    try:
        facts = json.loads((path / FACTS).read_text())
        found = _checksum(path / TENSORS)
        if found != facts.pop("checksum"):
            raise ValueError(f"{TENSORS} is not what was written: its checksum is {found[:12]}")
        return Checkpoint(load_file(path / TENSORS), facts)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} can't be read ({error}); remove that folder to go on from the one before"
        ) from error


def _checksum(file: Path) -> str:
    """Return BLAKE2b-128 hex of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, partial(hashlib.blake2b, digest_size=16)).hexdigest()


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return one phrase for each setting that differs between two identities."""
    a, b = dotted(then), dotted(now)
    names = [name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)]
    return [f"{name} was {a.get(name)!r} and is {b.get(name)!r}" for name in names]


def run_settings(
    settings: Mapping[str, Any], *apart: str, whole_batch: bool = False
) -> dict[str, Any]:
    """Return a training section without `apart` and what else may change on resuming.

    whole_batch: what is learned depends on the parts in which a batch is taken.
    """
    free = OPERATIONAL if whole_batch else (*OPERATIONAL, PARTS)
    kept = {key: value for key, value in settings.items() if key not in apart}
    for section in ("data", "loop"):
        kept[section] = {key: v for key, v in settings[section].items() if key not in free}
    return kept


def network_settings(network: Any) -> dict[str, Any]:
    """Return a network's configuration without what came later and is at its default.

    What came later has a default; runs from before noted none of it.
    """
    later = {field.name: field.default for field in fields(network) if field.default is not MISSING}
    return {key: v for key, v in asdict(network).items() if key not in later or later[key] != v}
