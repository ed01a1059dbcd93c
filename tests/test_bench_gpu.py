"""Claims about `bench.gpu`, tiny on the CPU; those that need a GPU are marked so."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.gpu import frame, ranks, speed
from bench.gpu.__main__ import MEASURES, main
from bench.gpu.equality import compared, furthest, played
from bench.gpu.frame import Bench
from bench.gpu.games import every_game, restorer
from bench.gpu.page import told
from bench.gpu.sets import Sets, draw_files, draw_sets

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


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this module's results."""
    return tmp_path_factory.mktemp("results") / "tiny"


def result(subcommand: str, folder: Path, *options: str) -> dict[str, Any]:
    """Return what a tiny run on the CPU writes, once it has ended well; it runs once a folder."""
    out = folder / f"{subcommand}.json"
    if not out.exists():
        assert main([subcommand, "--device", "cpu", "--tiny", "--out", str(out), *options]) == 0
    return json.loads(out.read_text())


def test_none_of_the_stages_tools_is_imported(root: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", IMPORTED], cwd=root, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"


def test_the_cpu_is_at_parity_with_itself(bench: Bench, results: Path) -> None:
    rows = result("parity", results)["rows"]
    assert [row.pop("case") for row in rows] == list(every_game(bench))
    assert all(row == dict.fromkeys(row, 0.0) and len(row) == 4 for row in rows)


def test_a_game_of_another_seed_is_not_at_parity(bench: Bench, sets: Sets) -> None:
    config = every_game(bench)["generator conv, hinge"]
    ours, theirs = played(config, sets), played(replace(config, seed=2), sets)
    assert furthest(ours.gradients, theirs.gradients) > 0.1
    assert furthest(ours.after, theirs.after) > 0.1


def test_a_resumed_run_ends_like_a_whole_one(bench: Bench, results: Path) -> None:
    rows = result("resume", results)["rows"]
    assert [row["case"] for row in rows] == list(every_game(bench))
    assert all(row["equal"] and row["difference"] == row["floor"] == 0 for row in rows)


def test_both_precisions_see_the_same_images_and_end_near_each_other(results: Path) -> None:
    rows = result("precision", results)["rows"]
    for fp32, bf16 in zip(rows[::2], rows[1::2], strict=True):
        assert fp32["images/s"] > 0 < bf16["images/s"] and fp32["images"] == bf16["images"]
        assert fp32["loss"] == pytest.approx(bf16["loss"], rel=0.02)
        assert fp32["loss"] != bf16["loss"]


def test_a_compiled_network_learns_the_same(results: Path) -> None:
    plain, compiled = result("compile", results)["rows"]
    assert plain["images/s"] > 0 < compiled["images/s"]
    assert plain["loss"] == pytest.approx(compiled["loss"], rel=1e-3)


def test_the_loop_is_compared_with_bare_steps_and_feeding_is_timed_alone(results: Path) -> None:
    rows = result("feeding", results)["rows"]
    beside = [row for row in rows if "ratio" in row]
    assert len(beside) == 3 == len(rows) - len(beside)
    assert all(row["ratio"] == row["images/s"] / row["bare images/s"] > 0 for row in beside)
    assert all(row["images/s"] > 0 for row in rows)


def test_a_run_cut_short_keeps_its_schedule(
    bench: Bench, sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "MINUTES", 0.0)
    timing = speed.timed(restorer(bench, adversarial=None), sets, 20)
    assert timing.images < 160 and timing.figures["fidelity_loss"] > 0


def test_two_processes_train_as_one(results: Path) -> None:
    rows = result("ranks", results)["rows"]
    assert len(rows) == 2 and all(row["weights"] < 1e-4 for row in rows)
    assert all(row["ratio"] == row["two images/s"] / row["images/s"] > 0 for row in rows)


def test_two_processes_that_end_badly_are_told() -> None:
    (row,) = ranks._failures([sys.executable, "-c", "raise SystemExit(3)"])
    assert row["failed"] == "ended with status 3"


def test_two_processes_that_never_end_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "SECONDS", 0.5)
    (row,) = ranks._failures([sys.executable, "-c", "import time; time.sleep(60)"])
    assert row["failed"] == "not over after 0.5 s"


def test_one_gpu_is_no_place_for_two_processes(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    on_gpu = replace(bench, device=torch.device("cuda", 0))
    monkeypatch.setattr(frame, "device_name", lambda device: "a GPU")
    kept = frame.collected("ranks", MEASURES["ranks"], on_gpu, tmp_path / "ranks.json")
    assert "one GPU" in kept.skipped and not kept.rows and not kept.failed
    assert json.loads((tmp_path / "ranks.json").read_text())["skipped"] == kept.skipped


def test_memory_is_told_for_three_sizes(results: Path) -> None:
    rows = result("memory", results)["rows"]
    assert len(rows) == 9 and all(row["MiB"] > 0 <= row["MiB an image"] for row in rows)
    assert rows[-1]["MiB"] >= rows[0]["MiB"]


def test_a_denoiser_is_measured_by_the_protocol(tmp_path: Path) -> None:
    pictures, test = (draw_files(tmp_path / name, 72, 3) for name in ("pictures", "test"))
    folders = ("--pictures", str(pictures), "--test", str(test))
    training, mean, *each = result("denoise", tmp_path, *folders)["rows"]
    assert training["images"] == 80 and len(each) == 3
    assert mean["psnr"] == pytest.approx(sum(row["psnr"] for row in each) / 3)
    assert mean["psnr_input"] == pytest.approx(20.17, abs=0.5)  # 20 log10(255 / 25)


def test_a_generator_is_scored_in_its_classifier_s_space(results: Path) -> None:
    training, space, taught = result("mint", results)["rows"]
    assert training["images"] == 80 and space["kid"] > 0 and space["kid_se"] > 0
    assert 0 <= taught["probe_accuracy"] <= 1


@pytest.mark.parametrize("subcommand", ["denoise", "mint"])
def test_without_folders_the_long_trainings_are_skipped(subcommand: str, bench: Bench) -> None:
    kept = frame.collected(subcommand, MEASURES[subcommand], replace(bench, tiny=False), None)
    assert "name the folder" in kept.skipped and not kept.rows


def test_the_page_names_every_subcommand_s_figures(results: Path, tmp_path: Path) -> None:
    rows = {name: result(name, results)["rows"] for name in MEASURES}
    assert main(["page", str(results), "--out", str(tmp_path / "page.md")]) == 0
    sections = (tmp_path / "page.md").read_text().split("\n## ")[1:]
    assert [section.split("\n")[0] for section in sections] == list(MEASURES)
    for section, name in zip(sections, MEASURES, strict=True):
        for row in rows[name]:
            assert f"\n| {' | '.join(row)} |\n" in section, name
            assert f"\n| {' | '.join(map(told, row.values()))} |" in section, name
        assert "At the tiny size" in section


def test_the_page_tells_what_was_skipped_and_what_never_ran(tmp_path: Path) -> None:
    frame.Result("ranks", "a GPU", False, skipped="one GPU").write(tmp_path / "ranks.json")
    main(["page", str(tmp_path), "--out", str(tmp_path / "page.md")])
    text = (tmp_path / "page.md").read_text()
    assert text.count("Not run.") == len(MEASURES) - 1 and text.count("Skipped: one GPU.") == 1


def test_cells_say_four_figures_that_count() -> None:
    cells = [told(value) for value in (True, 0.0123456, 12345.6, 80, "a | b", float("nan"))]
    assert cells == ["yes", "0.01235", "12,346", "80", "a / b", "nan"]


def test_a_page_of_nothing_and_of_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no result"):
        main(["page", str(tmp_path), "--out", str(tmp_path / "page.md")])
    (tmp_path / "other.json").write_text('{"rows": 1}')
    with pytest.raises(ValueError, match=r"other\.json is no result"):
        main(["page", str(tmp_path), "--out", str(tmp_path / "page.md")])


def test_a_case_that_fails_is_told_and_the_next_ones_are_measured(
    bench: Bench,
) -> None:
    def rows(_: Bench) -> Iterator[frame.Row]:
        yield frame.attempted("broken", lambda: {"rate": [1.0].index(2.0)})
        yield frame.attempted("whole", lambda: {"rate": 1.0})

    kept = frame.collected("parity", rows, bench, None)
    assert kept.failed and "not in list" in kept.rows[0]["failed"] and kept.rows[1]["rate"] == 1.0


def test_every_subcommand_says_what_it_measures() -> None:
    assert all((measure.__doc__ or "").strip() for measure in MEASURES.values())


@pytest.mark.gpu
def test_a_gpu_plays_the_same_games(sets: Sets, bench: Bench) -> None:
    on_gpu = replace(bench, device=torch.device("cuda", 0))
    for name, config in every_game(on_gpu).items():
        row = compared(config, sets)
        assert row["losses"] <= 1e-3 and row["gradients"] <= 1e-2, name


@pytest.mark.gpu
@pytest.mark.parametrize("subcommand", MEASURES)
def test_every_subcommand_runs_on_a_gpu(subcommand: str, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    assert main([subcommand, "--device", "cuda", "--tiny", "--out", str(out)]) == 0
    kept = json.loads(out.read_text())
    assert bool(kept["rows"]) != bool(kept["skipped"])
