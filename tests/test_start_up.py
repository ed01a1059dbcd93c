"""Starting costs what a stage computes with, and no more."""

import subprocess
import sys

import pytest

COMPUTING = (
    "train_restorer",
    "evaluate_restorer",
    "train_generator",
    "evaluate_generator",
    "export_synthetic",
    "evaluate_synthetic",
)
PLAIN = ("ingest", "corrupt", "report")
LATER = {"mlflow", "scipy.stats", "sklearn", "mlcroissant"}  # imported where they are used


def imported(modules: tuple[str, ...]) -> set[str]:
    """Return the names of all modules that importing these brings along, in a fresh process."""
    script = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("stages", "without"), [(PLAIN, LATER | {"torch"}), (COMPUTING, LATER)], ids=["plain", "torch"]
)
def test_stages_import_what_they_compute_with_alone(
    stages: tuple[str, ...], without: set[str]
) -> None:
    assert not imported(tuple(f"tasks.{stage}" for stage in stages)) & without


def test_the_command_line_answers_before_anything_heavy_is_imported() -> None:
    modules = imported(("tasks.commands.cli", "tasks.commands.models"))
    assert not modules & {"torch", "mlflow", "pandas", "numpy", "cv2", "PIL"}
