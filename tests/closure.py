"""What code a stage runs: the import closure of its module, to compare with dvc.yaml's lists.

DVC does not follow imports: a file that no dependency covers could change, and a stale model would
look current.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("remint", "tasks")
EXEMPT = "tasks/tracking/"  # nothing that it returns reaches an output


def closure(module: str, root: Path) -> set[str]:
    """Return the project's files that importing `module` runs, as posix paths from root.

    Docstrings of packages run nothing, and what only MLflow gets to see is left out.
    """
    waiting, seen = [*_files(module, root)], set[str]()
    while waiting:
        file = waiting.pop()
        if file in seen or file.startswith(EXEMPT) or file.endswith("__init__.py"):
            continue
        seen.add(file)
        for name in imported(root / file):
            waiting += _files(name, root)
    return seen


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports; `from a import b` gives a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(name: str, root: Path) -> list[str]:
    """Return the file of the dotted name, if it is a module of the project."""
    parts = name.split(".")
    file = Path(*parts).with_suffix(".py")
    return [file.as_posix()] if parts[0] in PACKAGES and (root / file).is_file() else []


def stage_module(command: str | list[str]) -> str:
    """Return the module that a stage runs: `python -m tasks.ingest ...`, of several the last."""
    words = (command if isinstance(command, str) else command[-1]).split()
    return words[words.index("-m") + 1]


def wrong_deps(command: str | list[str], deps: list[str], root: Path) -> list[str]:
    """Return a sentence for every file that no dependency covers, and every dependency unused."""
    code = {dep for dep in deps if dep.split("/")[0] in PACKAGES}
    run = closure(stage_module(command), root)
    open_files = [file for file in run if not any(_covers(dep, file) for dep in code)]
    unused = [dep for dep in code if not any(_covers(dep, file) for file in run)]
    return [f"not listed: {file}" for file in sorted(open_files)] + [
        f"not imported: {dep}" for dep in sorted(unused)
    ]


def _covers(dep: str, file: str) -> bool:
    return file == dep or file.startswith(f"{dep}/")
