"""DVC experiments: what a flow made is saved as one, without touching the user's work, and read.

`dvc exp save` unstages what the user had staged, leaves out figures that git does not know yet,
and commits outputs as they lie there, whatever made them. So the same kind of commit is written
with a git index of its own: HEAD, the changes of tracked files, dvc.lock and the figures.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flows.stages import DVC, environment
from tasks.stage.console import discreet

REMOTE = "REMINT_PUSH"
IDENTITY = {"NAME": "remint", "EMAIL": "remint@localhost"}


class ExperimentError(RuntimeError):
    """A run could not be saved as an experiment, sent or read; nothing else is affected."""

    def __init__(self, text: str) -> None:
        """text: shown without the passwords in it."""
        super().__init__(discreet(text))


def save(root: Path, name: str, files: Sequence[str]) -> str:
    """Save the tree at `root` as DVC experiment `name` of the current commit; return its id.

    files: paths from root that belong in, tracked or not. The working tree, the index and the
    branches stay as they are. Raises ExperimentError outside git, before a first commit, and when
    an experiment of this name exists.
    """
    head = _git(root, {}, "rev-parse", "HEAD")
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _git(root, index, "read-tree", "HEAD")
        _git(root, index, "add", "--update", "--", ".")
        present = [file for file in files if (root / file).exists()]
        if present:
            _git(root, index, "add", "--force", "--", *present)
        tree = _git(root, index, "write-tree")
    message = f"dvc: commit experiment {name}"
    commit = _git(root, _identity(root), "commit-tree", tree, "-p", head, "-m", message)
    # The zeros demand that no experiment of this name exists yet.
    reference = f"refs/exps/{head[:2]}/{head[2:]}/{name}"
    _git(root, {}, "update-ref", reference, commit, "0" * len(head))
    return commit


def _secret(address: str) -> bool:
    """Say whether an address holds a password, or a user's part that may be a token."""
    parts = urlsplit(address)
    return bool(parts.password or (parts.username and parts.scheme in ("http", "https")))


def push(root: Path, name: str, log: Callable[[str], None]) -> None:
    """Send experiment `name` and its data to the git remote that `REMINT_PUSH` names, if it does.

    Data go to DVC's default remote, and stay here where none is set. Raises ExperimentError.
    """
    remote = os.environ.get(REMOTE)
    if not remote:
        return
    if _secret(remote):
        raise ExperimentError(
            f"{REMOTE} is {remote}, and a password on a command line can be read by everybody on "
            "this machine: name a git remote instead (git remote add)"
        )
    command = [*DVC, "exp", "push", remote, name]
    done = subprocess.run(command, cwd=root, env=environment({}), capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "failed").splitlines()
        errors = [line for line in lines if line.startswith("ERROR")]  # advice follows them
        raise ExperimentError(f"dvc exp push to {remote}: {(errors or lines)[-1]}")
    log(f"experiment {name} was pushed to {remote}")


def figures(root: Path, name: str) -> dict[str, Any]:
    """Return what the metrics files of experiment `name` hold, by the names of their folders.

    Raises ExperimentError where there is no such experiment.
    """
    lines = _git(root, {}, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps")
    commits = [line.split()[0] for line in lines.splitlines() if line.endswith(f"/{name}")]
    if not commits:
        raise ExperimentError(f"there is no experiment {name}; dvc exp list shows those there are")
    files = _git(root, {}, "ls-tree", "-r", "--name-only", commits[0], "data/reports").splitlines()
    return {
        Path(file).parent.name: json.loads(_git(root, {}, "show", f"{commits[0]}:{file}"))
        for file in files
        if file.endswith("/metrics.json")
    }


def _identity(root: Path) -> Mapping[str, str]:
    """Return the environment that names who commits, where git knows nobody."""
    try:
        _git(root, {}, "var", "GIT_AUTHOR_IDENT")
        _git(root, {}, "var", "GIT_COMMITTER_IDENT")
        return {}
    except ExperimentError:
        return {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in IDENTITY.items()
        }


def tracked(root: Path, folder: str) -> list[str]:
    """Return the files of a folder that git tracks, as paths from the root."""
    return _git(root, {}, "ls-files", "--", folder).splitlines()


def _git(root: Path, env: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=root, env={**os.environ, **env}, capture_output=True, text=True
    )
    if done.returncode:
        raise ExperimentError(f"git {arguments[0]}: {done.stderr.strip() or 'failed'}")
    return done.stdout.strip()
