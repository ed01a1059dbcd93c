"""How often past commits would have run stages again, by room-level and by file-level dependencies.

    python -m bench.reruns --commits 30

Takes the newest commits that changed code of `remint` or `tasks`, follows each changed file to its
name of today, and counts the stages whose dependencies cover it: the folders and files of dvc.yaml,
against exactly the files that each stage imports.
"""

import argparse
import subprocess
from pathlib import Path

from ruamel.yaml import YAML

from tests.closure import closure, stage_module

CODE = ("remint", "tasks")


def git(*words: str) -> list[str]:
    """Return the lines that git prints."""
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def renames(since: str) -> dict[str, str]:
    """Return names of then and of today for the files that have moved since that commit."""
    rows = git("diff", "--name-status", "-M40%", "--diff-filter=R", f"{since}..HEAD")
    return {then: now for _, then, now in (row.split("\t") for row in rows)}


def changes(commits: int) -> list[set[str]]:
    """Return the files that each of the newest code commits changed, under today's names."""
    found = []
    for commit in git("log", f"-{commits}", "--format=%H", "--no-merges", "--", *CODE):
        # deleted files would run stages again under either kind of dependency
        names = git("show", "--name-only", "--format=", "--diff-filter=AM", commit, "--", *CODE)
        now = renames(commit)
        found.append({now.get(name, name) for name in names if name.endswith(".py")})
    return found


def main() -> None:
    """Print both counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commits", type=int, default=30)
    commits = changes(parser.parse_args().commits)
    stages = YAML(typ="safe").load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    rooms = files = 0
    for stage in stages.values():
        exact = closure(stage_module(stage["cmd"]), Path())
        deps = [dep for dep in stage["deps"] if dep.split("/")[0] in CODE]
        for changed in commits:
            rooms += any(f == dep or f.startswith(f"{dep}/") for f in changed for dep in deps)
            files += bool(changed & exact)
    print(f"{len(commits)} code commits, {len(stages)} stages")
    print(f"runs again by room-level dependencies: {rooms}; by file-level ones: {files}")


if __name__ == "__main__":
    main()
