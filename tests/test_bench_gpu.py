"""Claims about `bench.gpu`, tiny on the CPU; those that need a GPU are marked so."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.gpu.__main__ import MEASURES, main
from bench.gpu.equality import compared, furthest, played
from bench.gpu.frame import Bench
from bench.gpu.games import every_game
from bench.gpu.sets import Sets, draw_sets

IMPORTED = """
import sys
import bench.gpu.__main__
tools = {"mlflow", "dvc", "prefect", "pydantic", "tasks", "flows"}
print(sorted(tools & {name.split(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(torch.device("cpu"), True, tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def sets(bench: Bench) -> Sets:
    return draw_sets(bench.folder / "sets", 32, 64)


def result(subcommand: str, folder: Path, *options: str) -> dict[str, Any]:
    """Return what a tiny run on the CPU writes, once it has ended well."""
    out = folder / f"{subcommand}.json"
    assert main([subcommand, "--device", "cpu", "--tiny", "--out", str(out), *options]) == 0
    return json.loads(out.read_text())


def test_none_of_the_stages_tools_is_imported(root: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", IMPORTED], cwd=root, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"


def test_the_cpu_is_at_parity_with_itself(bench: Bench, tmp_path: Path) -> None:
    rows = result("parity", tmp_path)["rows"]
    assert [row.pop("case") for row in rows] == list(every_game(bench))
    assert all(row == dict.fromkeys(row, 0.0) and len(row) == 4 for row in rows)


def test_a_game_of_another_seed_is_not_at_parity(bench: Bench, sets: Sets) -> None:
    config = every_game(bench)["generator conv, hinge"]
    ours, theirs = played(config, sets), played(replace(config, seed=2), sets)
    assert furthest(ours.gradients, theirs.gradients) > 0.1
    assert furthest(ours.after, theirs.after) > 0.1


def test_a_resumed_run_ends_like_a_whole_one(bench: Bench, tmp_path: Path) -> None:
    rows = result("resume", tmp_path)["rows"]
    assert [row["case"] for row in rows] == list(every_game(bench))
    assert all(row["equal"] and row["difference"] == row["floor"] == 0 for row in rows)


def test_every_subcommand_says_what_it_measures() -> None:
    assert all((measure.__doc__ or "").strip() for measure in MEASURES.values())


@pytest.mark.gpu
def test_a_gpu_plays_the_same_games(sets: Sets, bench: Bench) -> None:
    on_gpu = replace(bench, device=torch.device("cuda", 0))
    for name, config in every_game(on_gpu).items():
        row = compared(config, sets)
        assert row["losses"] <= 1e-3 and row["gradients"] <= 1e-2, name
