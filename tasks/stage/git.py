"""What git says of the code that runs; nothing outside a repository, or without git."""

import subprocess
from pathlib import Path


def head(root: Path) -> tuple[str, bool]:
    """Return the commit's hash, empty outside git, and whether tracked files differ from it."""
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return _git(root, "rev-parse", "HEAD"), bool(changed)


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
