"""The house plan holds: arrows point down, dvc.yaml lists all code, functions stay small."""

import ast
import inspect
import tomllib
from pathlib import Path
from statistics import median

import pytest
from ruamel.yaml import YAML

from tasks.tracking.runs import Run
from tests import closure

PACKAGES = ("remint", "tasks", "flows")
# What stages import of tracking: none of it gives back what MLflow or the environment says.
HARMLESS = {"tasks.tracking", "tasks.tracking.runs", "tasks.tracking.models"} | {
    f"tasks.tracking.{name}"
    for name in ("runs.Run", "runs.stage_run", "models.PythonModel", "models.set_model")
}
STAGES = YAML(typ="safe").load(Path(__file__).parents[1].joinpath("dvc.yaml").read_text())["stages"]


def files(root: Path, package: str) -> list[Path]:
    return sorted((root / package).rglob("*.py"))


def test_the_stages_stand_alone_at_the_top_of_tasks(root: Path) -> None:
    modules = {closure.stage_module(stage["cmd"]).split(".")[1] for stage in STAGES.values()}
    assert modules | {"__init__"} == {file.stem for file in (root / "tasks").glob("*.py")}


def test_packages_hold_a_docstring_and_nothing_else(root: Path) -> None:
    for package in PACKAGES:
        for file in (root / package).rglob("__init__.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            assert ast.get_docstring(tree) and len(tree.body) == 1, file


def test_pyproject_lists_every_package(root: Path) -> None:
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    inits = [file for package in PACKAGES for file in (root / package).rglob("__init__.py")]
    assert set(listed) == {".".join(file.parent.relative_to(root).parts) for file in inits}


@pytest.mark.parametrize("name", STAGES)
def test_dvc_lists_the_code_that_a_stage_runs_and_no_other(root: Path, name: str) -> None:
    assert not closure.wrong_deps(STAGES[name]["cmd"], STAGES[name]["deps"], root)


def test_neither_training_depends_on_the_other_half() -> None:
    of_restorer = {
        "remint/restorer",
        "remint/corruptions",
        "data/corrupted",
        "tasks/train_restorer.py",
    }
    assert not of_restorer & set(STAGES["train_generator"]["deps"])
    of_generator = {"remint/generator", "remint/classifier", "tasks/train_generator.py"}
    assert not of_generator & set(STAGES["train_restorer"]["deps"])


def test_what_no_dependency_covers_and_what_nothing_imports_is_told(tmp_path: Path) -> None:
    for name, text in {
        "remint/room/a.py": "from remint.room import b\n",
        "remint/room/b.py": "def f():\n    import remint.deep.c\n",
        "remint/deep/c.py": "import numpy\n",
        "remint/unused/d.py": "",
        "tasks/tracking/runs.py": "import remint.unused.d\n",
        "tasks/s.py": "from remint.room.a import x\nfrom tasks.tracking import runs\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    deps = ["data/clean", "tasks/s.py", "remint/room", "remint/unused"]
    wrong = closure.wrong_deps("python -m tasks.s data/clean", deps, tmp_path)
    assert wrong == ["not listed: remint/deep/c.py", "not imported: remint/unused"]


def test_nothing_that_tracking_gives_reaches_an_output(root: Path) -> None:
    """A run's methods give nothing back, and stages take nothing else of it."""
    methods = [getattr(Run, name) for name in vars(Run) if not name.startswith("_")]
    given = {
        f.__name__
        for f in methods
        if inspect.isfunction(f) and inspect.signature(f).return_annotation not in (None, "None")
    }
    assert not given
    for module in sorted({closure.stage_module(stage["cmd"]) for stage in STAGES.values()}):
        for file in closure.closure(module, root):
            names = {n for n in closure.imported(root / file) if n.startswith("tasks.tracking")}
            assert names <= HARMLESS, file
            tree = ast.parse((root / file).read_text(encoding="utf-8"))
            used = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
            assert not used & {"run.id", "run.url"}, file
            assert not {n for n in used if n.startswith("tasks.tracking")}, file
            assert {n for n in used if n.startswith("runs.")} <= {"runs.stage_run", "runs.Run"}, (
                file
            )


def functions(root: Path) -> dict[str, int]:
    """Return the number of lines of every function, decorators and docstring left out."""
    sizes: dict[str, int] = {}
    for file in [f for package in PACKAGES for f in files(root, package)]:
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
        for package in PACKAGES
        for f in files(root, package)
    }
    assert not {name: length for name, length in lengths.items() if length > 280}
