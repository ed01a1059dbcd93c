"""Claims about what a page is made from: it speaks of one model, one data set, today's code."""

import json
from pathlib import Path

import pytest

from remint.core.fingerprint import model_fingerprint
from tasks.page import subjects
from tasks.stage import standing

GRAPH = "stages: {evaluate_restorer: {cmd: x, deps: [code.py], params: [seed]}}\n"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A model, its evaluation and that of a generator, in a working folder with a graph."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    (tmp_path / "code.py").write_text("a = 1\n")
    (tmp_path / "params.yaml").write_text("seed: {all: [0, 1], on: true}\n")
    places = [tmp_path / name for name in ("model", "restorer", "generator")]
    for place in places:
        place.mkdir()
    (places[0] / "restorer.json").write_text("{}")
    (places[0] / "fidelity.safetensors").write_bytes(b"weights")
    prints = {"restorer": model_fingerprint(places[0]), "clean": "abc"}
    tell(places[1] / "slices.json", standing.subject("evaluate_restorer", prints))
    tell(places[2] / "figures.json", {"generator": "of no model here", "clean": "abc"})
    return places


def tell(file: Path, subject: dict[str, str]) -> None:
    file.write_text(json.dumps({"subject": subject}))


def test_reports_of_one_model_and_set_and_those_that_tell_nothing_pass(folders: list[Path]) -> None:
    subjects.check(folders)
    tell(folders[2] / "figures.json", {})
    subjects.check(folders)


def test_a_model_that_was_trained_anew_and_not_measured_is_refused(folders: list[Path]) -> None:
    (folders[0] / "fidelity.safetensors").write_bytes(b"garbage")
    with pytest.raises(ValueError, match=r"slices\.json speaks of another restorer .*than .*model"):
        subjects.check(folders)


def test_evaluations_on_two_sets_and_by_code_of_another_day_are_refused(
    folders: list[Path],
) -> None:
    tell(folders[2] / "figures.json", {"clean": "def"})
    with pytest.raises(ValueError, match=r"figures\.json speaks of another clean \(def\)"):
        subjects.check(folders)
    (folders[0].parent / "code.py").write_text("a = 2\n")
    with pytest.raises(ValueError, match=r"other code or parameters .*-f -s evaluate_restorer"):
        subjects.check(folders[:2])


def test_parameters_are_other_ones_where_their_values_are_and_not_by_how_they_are_written(
    folders: list[Path],
) -> None:
    params = folders[0].parent / "params.yaml"
    params.write_text("seed: {on: true, all: [0.0, 1e+0]}\n")
    subjects.check(folders)
    for other in ("{all: [0, 2], on: true}", "{all: [0, 1], on: false}", "{all: [0], on: true}"):
        params.write_text(f"seed: {other}\n")
        with pytest.raises(ValueError, match="speaks of other code or parameters"):
            subjects.check(folders)
