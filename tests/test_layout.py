"""The house plan holds: arrows point down, dvc.yaml lists all code, functions stay small."""

import ast
from pathlib import Path
from statistics import median

import pytest
from ruamel.yaml import YAML

from tests import closure

FORBIDDEN = {
    "remint": {"prefect", "dvc", "mlflow", "pydantic", "tasks", "flows"},
    "tasks": {"prefect", "flows"},
    "flows": {"tasks", "remint", "torch", "mlflow"},
}


def files(root: Path, package: str) -> list[Path]:
    return sorted((root / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_arrows_point_down_only(root: Path, package: str) -> None:
    found = {str(f.relative_to(root)): imported(f) for f in files(root, package)}
    wrong = {file: names & FORBIDDEN[package] for file, names in found.items()}
    assert found
    assert not {file: names for file, names in wrong.items() if names}


def test_only_tracking_imports_mlflow(root: Path) -> None:
    doors = {f.name for p in FORBIDDEN for f in files(root, p) if "mlflow" in imported(f)}
    assert doors == {"runs.py"}


def test_packages_hold_a_docstring_and_nothing_else(root: Path) -> None:
    for package in FORBIDDEN:
        for file in (root / package).rglob("__init__.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            assert ast.get_docstring(tree) and len(tree.body) == 1, file


def test_pyproject_lists_every_package(root: Path) -> None:
    import tomllib

    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    inits = [file for package in FORBIDDEN for file in (root / package).rglob("__init__.py")]
    assert set(listed) == {".".join(file.parent.relative_to(root).parts) for file in inits}


def test_dvc_lists_exactly_the_code_that_each_stage_runs(root: Path) -> None:
    document = YAML(typ="safe").load((root / "dvc.yaml").read_text(encoding="utf-8"))
    wrong = closure.wrong_stages(document, root)
    told = [closure.describe(n, d, document["stages"][n]["deps"]) for n, d in wrong.items()]
    assert not wrong, "\n".join([*told, "`python -m tests.closure --write` puts it right"])


def test_a_closure_follows_imports_of_imports_and_packages(tmp_path: Path) -> None:
    for name, text in {
        "remint/__init__.py": "",
        "remint/a.py": "from remint import b\n",
        "remint/b.py": "def f():\n    import remint.deep.c\n",
        "remint/deep/__init__.py": "",
        "remint/deep/c.py": "import numpy\n",
        "remint/unused.py": "",
        "tasks/__init__.py": "",
        "tasks/s.py": "from remint.a import x\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = closure.closure("tasks.s", tmp_path)
    assert "remint/deep/c.py" in found and "remint/deep/__init__.py" in found
    assert "remint/unused.py" not in found and len(found) == 7


def functions(root: Path) -> dict[str, int]:
    """Return the number of lines of every function, decorators and docstring left out."""
    sizes: dict[str, int] = {}
    for file in [f for package in FORBIDDEN for f in files(root, package)]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                start = node.body[ast.get_docstring(node) is not None and len(node.body) > 1].lineno
                lines = (node.end_lineno or start) - start + 1
                sizes[f"{file.relative_to(root)}:{node.lineno} {node.name}"] = lines
    return sizes


def test_functions_are_small(root: Path) -> None:
    sizes = functions(root)
    assert median(sizes.values()) <= 12
    assert not {name: size for name, size in sizes.items() if size > 60}


def test_files_are_small(root: Path) -> None:
    lengths = {
        str(f.relative_to(root)): len(f.read_text(encoding="utf-8").splitlines())
        for package in FORBIDDEN
        for f in files(root, package)
    }
    assert not {name: length for name, length in lengths.items() if length > 280}
