"""Claims about what a page and promotion believe: of one model, one data set, today's code."""

import json
from pathlib import Path

import pytest

from remint.core.fingerprint import model_fingerprint
from tasks.ingest import REFUSED
from tasks.page import subjects
from tasks.promotion import figures
from tasks.stage import standing

GRAPH = "stages: {evaluate_restorer: {cmd: x, deps: [code.py], params: [seed]}}\n"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A model, its evaluation and the other reports, in a working folder with a graph."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    (tmp_path / "code.py").write_text("a = 1\n")
    (tmp_path / "params.yaml").write_text("seed: {all: [0, 1], on: true}\n")
    names = ("restorer_model", "ingest", "restorer", "generator", "export", "synthetic")
    places = {name: tmp_path / name for name in names}
    for place in places.values():
        place.mkdir()
    (places["restorer_model"] / "restorer.json").write_text("{}")
    (places["restorer_model"] / "fidelity.safetensors").write_bytes(b"weights")
    prints = {"restorer": model_fingerprint(places["restorer_model"]), "clean": "abc"}
    tell(places["ingest"] / "statistics.json", {"clean": "abc"})
    tell(places["restorer"] / "slices.json", standing.subject("evaluate_restorer", prints))
    minted = {"generator": "g", "clean": "abc"}
    tell(places["generator"] / "figures.json", minted)
    tell(places["export"] / "figures.json", minted | {"synthetic": "s"})
    tell(places["synthetic"] / "utility.json", minted | {"synthetic": "s"})
    return places


def tell(file: Path, subject: dict[str, str]) -> None:
    file.write_text(json.dumps({"subject": subject}))


def test_reports_of_one_model_and_set_and_those_that_tell_nothing_pass(
    folders: dict[str, Path],
) -> None:
    subjects.check(folders)
    for name, (file, _) in subjects.REPORTS.items():
        tell(folders[name] / file, {})
    subjects.check(folders)


def test_a_model_that_was_trained_anew_and_not_measured_is_refused(
    folders: dict[str, Path],
) -> None:
    (folders["restorer_model"] / "fidelity.safetensors").write_bytes(b"garbage")
    with pytest.raises(ValueError, match=r"slices\.json speaks of another restorer .*than .*model"):
        subjects.check(folders)


def test_evaluations_on_two_sets_and_by_code_of_another_day_are_refused(
    folders: dict[str, Path],
) -> None:
    tell(folders["generator"] / "figures.json", {"clean": "def"})
    with pytest.raises(ValueError, match=r"figures\.json speaks of another clean \(def\)"):
        subjects.check(folders)
    (folders["ingest"].parent / "code.py").write_text("a = 2\n")
    with pytest.raises(ValueError, match=r"other code or parameters .*-f -s evaluate_restorer"):
        subjects.check({"restorer": folders["restorer"]})


def test_a_report_of_ingest_of_another_set_and_of_a_refused_one_is_refused(
    folders: dict[str, Path],
) -> None:
    for told in ("def", REFUSED):
        tell(folders["ingest"] / "statistics.json", {"clean": told})
        words = rf"slices\.json speaks of another clean \(abc\) than .*statistics\.json \({told}\)"
        with pytest.raises(ValueError, match=words):
            subjects.check(folders)


@pytest.mark.parametrize("what", ["generator", "clean", "synthetic"])
def test_a_report_of_an_export_by_another_model_or_of_another_set_is_refused(
    folders: dict[str, Path], what: str
) -> None:
    told = {"generator": "g", "clean": "abc", "synthetic": "s", what: "other"}
    tell(folders["export"] / "figures.json", told)
    with pytest.raises(ValueError, match=rf"(?=.*another {what} ).*export.figures\.json"):
        subjects.check(folders)


def test_an_ingest_and_an_export_by_code_of_another_day_are_refused(
    folders: dict[str, Path],
) -> None:
    for name, stage in (("ingest", "ingest"), ("export", "export_synthetic")):
        Path("dvc.yaml").write_text(GRAPH.replace("evaluate_restorer", stage))
        file = folders[name] / subjects.REPORTS[name][0]
        tell(file, {"code": "of yesterday"})
        with pytest.raises(ValueError, match=rf"other code or parameters .*-f -s {stage}\)"):
            subjects.check({name: folders[name]})
        tell(file, standing.subject(stage, {}))
        subjects.check({name: folders[name]})


def test_parameters_are_other_ones_where_their_values_are_and_not_by_how_they_are_written(
    folders: dict[str, Path],
) -> None:
    params = folders["ingest"].parent / "params.yaml"
    params.write_text("seed: {on: true, all: [0.0, 1e+0]}\n")
    subjects.check(folders)
    for other in ("{all: [0, 2], on: true}", "{all: [0, 1], on: false}", "{all: [0], on: true}"):
        params.write_text(f"seed: {other}\n")
        with pytest.raises(ValueError, match="speaks of other code or parameters"):
            subjects.check(folders)


def test_promotion_refuses_a_generator_whose_export_is_of_another_or_tells_nothing(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "data", lambda name, paths: {"clean": "abc"})
    model = folders["restorer_model"]
    paths = figures.Paths(model, *[model.parent] * 5)
    minted = {"generator": model_fingerprint(model), "clean": "abc", "synthetic": "s", "code": ""}
    for name in ("generator", "export", "synthetic"):
        tell(folders[name] / subjects.REPORTS[name][0], minted)
    figures.check_reports("generator", paths)
    for told, words in (({**minted, "generator": "g"}, "another generator"), ({}, "not told")):
        tell(folders["export"] / "figures.json", told)
        with pytest.raises(ValueError, match=rf"export.figures.*{words}.*-f -s export_synthetic"):
            figures.check_reports("generator", paths)
