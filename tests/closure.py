"""What code a stage depends on: the import closure of its module, as dvc.yaml must list it.

DVC does not follow imports, so a file that dvc.yaml leaves out could change and a stale model
would look current. `python -m tests.closure` prints what differs, `--write` puts it right.
"""

import argparse
import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedSeq

from tasks.commands.presets import round_trip
from tasks.stage import stage

PACKAGES = ("remint", "tasks")
# Files that a module reads by their path, where an import would show them.
BY_PATH = {
    f"tasks/train_{model}.py": (f"tasks/training/served_{model}.py",)
    for model in ("restorer", "generator")
}


def closure(module: str, root: Path) -> list[str]:
    """Return the project's files that importing `module` runs, sorted, as posix paths from root."""
    waiting, seen = [*_files(module, root)], set[str]()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        waiting += BY_PATH.get(file, ())
        for name in _imports(root / file):
            waiting += _files(name, root)
    return sorted(seen)


def _imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports; `from a import b` gives a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(name: str, root: Path) -> list[str]:
    """Return the files that importing the dotted name runs: the module and its packages."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return []
    files = [Path(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)]
    files.append(Path(*parts).with_suffix(".py"))
    return [file.as_posix() for file in files if (root / file).is_file()]


def stage_module(command: str) -> str:
    """Return the module that a stage's command runs: `python -m tasks.ingest ...`."""
    words = command.split()
    return words[words.index("-m") + 1]


def expected_deps(entry: Any, root: Path) -> list[str]:
    """Return a stage's deps as they should be: what is no code as it stands, then its closure."""
    rest = [dep for dep in entry["deps"] if not dep.endswith(".py")]
    return rest + closure(stage_module(entry["cmd"]), root)


def wrong_stages(dvc_yaml: Any, root: Path) -> dict[str, list[str]]:
    """Return the right deps of every stage whose listed deps are others."""
    right = {name: expected_deps(entry, root) for name, entry in dvc_yaml["stages"].items()}
    return {n: deps for n, deps in right.items() if sorted(deps) != sorted(_listed(dvc_yaml, n))}


def _listed(dvc_yaml: Any, name: str) -> list[str]:
    return list(dvc_yaml["stages"][name]["deps"])


def describe(name: str, deps: Sequence[str], listed: Sequence[str]) -> str:
    """Return what a stage's deps lack and have too much, and the list as it should be."""
    lines = [f"stage {name}:"]
    lines += [f"  missing: {dep}" for dep in deps if dep not in listed]
    lines += [f"  not used: {dep}" for dep in listed if dep not in deps]
    return "\n".join([*lines, "  deps:", *(f"  - {dep}" for dep in deps)])


def main(argv: Sequence[str] | None = None) -> None:
    """Print the stages whose deps are wrong, or put them right in dvc.yaml."""
    parser = argparse.ArgumentParser(prog="python -m tests.closure", description=__doc__)
    parser.add_argument("--write", action="store_true", help="correct dvc.yaml in place")
    given = parser.parse_args(argv)
    path = Path("dvc.yaml")
    yaml = round_trip()
    document = yaml.load(path.read_text(encoding="utf-8"))
    wrong = wrong_stages(document, Path("."))
    for name, deps in wrong.items():
        print(describe(name, deps, _listed(document, name)))
        document["stages"][name]["deps"] = CommentedSeq(deps)
    if wrong and not given.write:
        raise ValueError("dvc.yaml leaves code out; `python -m tests.closure --write` corrects it")
    if wrong:
        with path.open("w", encoding="utf-8") as file:
            yaml.dump(document, file)


if __name__ == "__main__":
    stage.entry(main)
