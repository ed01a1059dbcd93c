"""The report page: everything in one file, every slice on it, nothing said that is not measured."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks import report
from tasks.page.curves import panels, thinned
from tasks.page.inputs import read_inputs
from tasks.page.pictures import picture
from tasks.page.provenance import Output, Provenance, collect
from tasks.page.restorer_verdict import verdict
from tasks.page.words import number, short, signed, words

CONFIG = report.ReportConfig("A <title>", 1, 2, 64, 50, 1)
ODD = '<script>alert("x")</script> & été.png'
CLEAN = {"kind": "clean", "severity": 0, "images": 9, "psnr_input": 100.0, "psnr": 45.0}
CLEAN |= {"gain": -0.2, "gain_low": -0.3, "gain_high": -0.1, "worse_share": 0.5}


def slice_row(kind: str, severity: int, gain: float, **more: Any) -> dict[str, Any]:
    row = {"kind": kind, "severity": severity, "images": 9, "psnr_input": 20.0}
    row |= {"psnr": 20.0 + gain, "gain": gain, "gain_low": gain - 0.5, "gain_high": gain + 0.5}
    return {**row, "worse_share": 0.1, "ssim_input": 0.4, "ssim": 0.7, **more}


SLICES = [
    slice_row("gaussian_noise", 1, 3.0, psnr_classical=22.0, classical_method="median"),
    slice_row("gaussian_noise", 3, 2.0, psnr_classical=23.5, classical_method="median"),
    slice_row("holes", 3, -4.0, psnr_inside=11.0, psnr_outside=31.0),
    slice_row("mixed", 0, 0.2),
    CLEAN,
]
METRICS = {"psnr_gain": 1.25, "psnr_gain_low": 0.5, "psnr_gain_high": 2.0, "psnr_input": 20.0}
METRICS |= {"psnr": 21.25, "worse_share": 0.1, "clean_psnr_capped40": 39.8, "kid_efflite0": 0.01}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Return an ingest report, a restorer report and a model folder, small but complete."""
    return [write_ingest(tmp_path / "a"), write_restorer(tmp_path / "b"), write_model(tmp_path)]


def write_ingest(folder: Path) -> Path:
    folder.mkdir()
    counts = {"found": 12, "read": 10, "kept": 10, "quarantined": 2}
    sizes = {"height": {"min": 8, "max": 30, "mean": 20.5}}
    statistics = {"sizes": sizes, "channels": 1, "mean": [3.0], "std": [4.0], "unlabelled": 0}
    statistics |= {"class_counts": {"<i>cat</i>": {"train": 5, "val": 1, "test": 2}}}
    statistics |= {"near_duplicates": {"examples": [["1.png (a)", "1.jpg (a)"]]}}
    statistics |= {"label_conflicts": [["2.png (a)", "2.png (<b>)"]]}
    (folder / "metrics.json").write_text(json.dumps(counts))
    (folder / "statistics.json").write_text(json.dumps(statistics))
    rows = pd.DataFrame({"source": [ODD, "other.png"], "reason": ["truncated", "empty"]})
    rows.to_csv(folder / "quarantine.csv", index=False)
    return folder


def write_restorer(folder: Path) -> Path:
    (folder / "gallery").mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    facts = {"slices": SLICES, "notes": ["A note of the evaluation."], "extractor": "EffLite0"}
    facts["model"] = {"fingerprint": "f00d"}
    (folder / "slices.json").write_text(json.dumps(facts))
    entry = {"id": "1", "kind": "holes", "severity": 3, "psnr_input": 20.0, "psnr": 16.0}
    entries = [{"group": group, **entry} for group in ("best", "worst", "random", "random")]
    for number_, made in enumerate(entries):
        for role in ("input", "output", "target", "error"):
            made[role] = f"{number_}-{role}.png"
            Image.new("L", (8, 8), number_).save(folder / "gallery" / made[role])
    (folder / "gallery.json").write_text(json.dumps(entries))
    return folder


def write_model(folder: Path) -> Path:
    model = folder / "model"
    (model / "samples").mkdir(parents=True)
    (model / "restorer.json").write_text(json.dumps({"network": {"name": "nafnet"}, "format": 1}))
    frame = {"images": [0, 10, 20], "minutes": [0.0, 1, 2], "stage": ["fidelity"] * 2 + ["other"]}
    frame |= {"val_psnr": [10.0, 11, 12], "fidelity_loss": [1.0, np.nan, 0.5]}
    pd.DataFrame(frame).to_csv(model / "history.csv", index=False)
    Image.new("L", (8, 8)).save(model / "samples" / "000000010.png")
    return model


def provenance(**values: Any) -> Provenance:
    return Provenance(
        commit="c0ffee", changed=True, outputs=[Output("ingest", "data/clean", "ab12.dir", 5)],
        sections={"corrupt": {"seed": "1"}}, values=values, versions={"remint": "0"},
    )  # fmt: skip


def page(folders: list[Path], **values: Any) -> str:
    return report.render(read_inputs(folders), provenance(**values), CONFIG)


class References(HTMLParser):
    """Collects what the page would fetch, and checks that tags close."""

    VOID = ("meta", "img", "input", "br")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closes another tag"


def test_the_page_fetches_nothing_and_its_tags_close(folders: list[Path]) -> None:
    text = page(folders)
    parser = References()
    parser.feed(text)
    assert parser.open == []
    assert all(ref.startswith(("data:image/", "#")) for ref in parser.found), parser.found
    assert not re.search(r"https?://|url\(|@import", text)


def test_odd_names_are_shown_and_not_run(folders: list[Path]) -> None:
    text = page(folders)
    assert "<script>alert" not in text and "<i>cat</i>" not in text
    assert "&lt;script&gt;alert" in text and "été.png" in text
    assert "<title>A &lt;title&gt;</title>" in text


def test_every_slice_stands_in_the_table(folders: list[Path]) -> None:
    text = page(folders)
    for row in SLICES:
        assert words(row["kind"]) in text
        assert signed(row["gain"]) in text and number(row["psnr"]) in text
    assert "31.00" in text and "Telea" not in text


def test_all_parts_of_the_issue_are_on_the_page(folders: list[Path]) -> None:
    text = page(folders)
    parts = ["by +1.25", "1 of 2 slices", 'type="range"', "truncated", "A note of the evaluation"]
    parts += ["c0ffee", "ab12.dir", "PSNR on validation images", "KID EffLite0", "nafnet"]
    for part in parts:
        assert part in text, part
    assert "and 1 more in quarantine.csv" in text
    assert "1.png (a), 1.jpg (a)" in text and "2.png (a), 2.png (&lt;b&gt;)" in text


def test_the_map_s_promise_stands_on_the_page_with_its_coverage_by_slice(
    folders: list[Path],
) -> None:
    assert "How sure is it" not in page(folders)
    file = folders[1] / "slices.json"
    facts = json.loads(file.read_text())
    file.write_text(json.dumps({**facts, "doubt": "No map of doubt is measured: too few."}))
    assert "<p>No map of doubt is measured: too few.</p>" in page(folders)
    covered = {"doubt_covered_quarter": 0.912, "doubt_covered": 0.987}
    covered |= {"doubt_levels_quarter": 44.4, "doubt_levels": 11.1}
    slices = [{**row, **covered} for row in facts["slices"]]
    file.write_text(json.dumps({**facts, "slices": slices, "doubt": "on average at least 90%"}))
    (folders[1] / "metrics.json").write_text(json.dumps({**METRICS, **covered}))
    text = page(folders)
    assert "<p>On average at least 90%.</p>" in text and ">All slices<" in text
    assert text.count("44.4") == len(slices) + 1


def test_each_report_may_be_absent(folders: list[Path]) -> None:
    for folder in folders:
        assert "<h2>Where this comes from</h2>" in page([folder])
    assert "Every kind" not in page(folders[:1])


def test_reports_are_found_below_a_common_folder(folders: list[Path]) -> None:
    assert page([folders[0].parent]) == page(folders)


def test_no_reports_and_broken_ones_are_refused_with_a_sentence(folders: list[Path]) -> None:
    with pytest.raises(ValueError, match="no reports in"):
        read_inputs([folders[1] / "gallery"])
    with pytest.raises(ValueError, match="a second ingest report"):
        read_inputs([folders[0], write_ingest(folders[0].parent / "again")])
    (folders[1] / "slices.json").write_text("{")
    with pytest.raises(ValueError, match=r"slices\.json is not readable JSON"):
        read_inputs(folders)


def test_a_picture_that_is_missing_is_an_error_not_a_gap(folders: list[Path]) -> None:
    (folders[1] / "gallery" / "2-output.png").unlink()
    with pytest.raises(ValueError, match=r"2-output\.png can't be shown"):
        page(folders)


def test_pictures_that_were_measured_as_tiles_come_first_and_whole(folders: list[Path]) -> None:
    assert "whole" not in page(folders).partition("Before and after</h2>")[2].partition("<h2>")[0]
    file = folders[1] / "gallery.json"
    entries = json.loads(file.read_text())
    tiled = {**entries[0], "group": "pages", "tiles": 12}
    file.write_text(json.dumps([*entries, {**tiled, "tiles_there": 12}]))
    shown = page(folders).partition("Before and after</h2>")[2].partition("<h2>")[0]
    assert "whole again" in shown and "Holes 3, whole: 12 tiles<" in shown
    assert shown.count('type="range"') == 1 + CONFIG.slider
    file.write_text(json.dumps([*entries, {**tiled, "tiles_there": 40}]))
    assert "whole: 12 of 40 tiles measured" in page(folders)


def test_kinds_that_training_never_drew_are_named(folders: list[Path]) -> None:
    steps = [{"kind": "gaussian_noise", "probability": 0.5}, {"kind": "holes", "probability": 0}]
    assert page(folders).count("not trained on") == 0
    assert page(folders, corrupt={"training": {"steps": steps}}).count("not trained on") == 2


def test_the_verdict_counts_and_names_what_is_worse() -> None:
    found = verdict(METRICS, SLICES)
    assert found.headline == (
        "Remint repairs the damaged test images by +1.25\u202fdB on average; it beats the "
        "classical filter in 1 of 2 slices; it leaves whole images whole: 39.80\u202fdB of "
        "40\u202fdB."
    )
    assert "It makes worse: Holes 3." in found.sentences
    assert "No clear gain in: Mixed damage." in found.sentences
    assert "The classical filter is as good or better in: Gaussian noise 3." in found.sentences
    blurred = [{**SLICES[0], "ssim_classical": 0.8}]
    said = "Above the classical filter by PSNR, but below it by SSIM: Gaussian noise 1."
    assert said in verdict(METRICS, blurred).sentences and said not in found.sentences


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (2, 3, "repairs"),
        (0.1, 0.3, "barely improves"),
        (-0.3, -0.1, "makes the damaged test images worse"),
        (-1, 1, "chance"),
    ],
)
def test_the_verdict_follows_the_interval_of_the_gain(low: float, high: float, said: str) -> None:
    metrics = {**METRICS, "psnr_gain": (low + high) / 2, "psnr_gain_low": low}
    assert said in verdict({**metrics, "psnr_gain_high": high}, SLICES).headline


def test_harm_to_whole_images_is_called_harm_and_absence_is_not_spoken_of() -> None:
    assert (
        "harms whole images" in verdict({**METRICS, "clean_psnr_capped40": 39.4}, SLICES).headline
    )
    bare = verdict({}, [])
    assert bare.headline == "Remint has met no damaged test image."
    assert (bare.tiles, bare.sentences) == ([], [])


def test_small_pictures_are_embedded_whole_and_large_ones_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((300, 600, 3), np.uint8)).save(tmp_path / "large.png")
    Image.new("L", (20, 10), 7).save(tmp_path / "small.png")
    large, small = (picture(tmp_path / f"{name}.png", 100) for name in ("large", "small"))
    assert (large.width, large.height, large.crisp) == (600, 300, False)
    assert large.uri.startswith("data:image/webp;base64,")
    assert small.crisp and small.uri.startswith("data:image/png;base64,")


def test_curves_draw_each_stage_and_skip_gaps_and_constants_hold() -> None:
    frame = pd.DataFrame({"images": range(100), "minutes": np.arange(100) / 10})
    frame["stage"] = ["fidelity"] * 60 + ["adversarial"] * 40
    frame["val_psnr"] = 20.0
    frame["empty_loss"] = np.nan
    by_images, by_minutes = panels(frame, 10)
    assert (by_images.axis, by_minutes.axis, by_images.last) == ("images", "minutes", "20")
    for stage in (0, 1):
        drawn = re.findall(rf'd="([^"]*)"[^>]*stroke: var\(--s{stage}\)', by_images.svg)
        assert [len(path.split("L")) for path in drawn] == [10]


def test_what_a_restorer_is_to_be_better_than_stands_in_its_curve() -> None:
    frame = pd.DataFrame({"images": [0, 9], "val_psnr": [21.0, 25], "val_psnr_input": [20.0, 20]})
    (chart,) = panels(frame, 10)
    assert "stroke: var(--s0)" in chart.svg and "stroke-dasharray" in chart.svg
    assert "their input" in chart.title


def test_a_chart_is_the_same_each_time_and_brings_no_colour_font_or_name_of_its_own() -> None:
    frame = pd.DataFrame({"images": [0, 1e6], "loss": [-0.0014, 0.0004]})
    (first,), (second,) = panels(frame, 10), panels(frame, 10)
    assert first.svg == second.svg
    assert not re.search("#[0-9a-f]{6}|font-family|<style|<g id", first.svg)
    assert all(f">{label}</text>" in first.svg for label in ("200k", "\u22120.001", "images seen"))


def test_thinning_keeps_the_ends() -> None:
    assert list(thinned(1000, 3)) == [0, 500, 999] or list(thinned(1000, 3)) == [0, 499, 999]
    assert list(thinned(2, 50)) == [0, 1]


def test_numbers_have_true_minus_signs_and_no_negative_zero() -> None:
    assert (number(-1.5), number(-0.001), number(float("nan"))) == ("\u22121.50", "0.00", "\u2013")
    assert (signed(0.001), signed(2), short(1_200_000)) == ("0.00", "+2.00", "1.2M")


def test_the_page_names_the_model_by_its_fingerprint(folders: list[Path]) -> None:
    assert page(folders).count("f00d") == 1


def test_provenance_reads_dvc_lock_and_prefers_the_parameters_that_ran(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("corrupt: {seed: 2}\nreport: {title: t}\n")
    (tmp_path / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  corrupt:\n    cmd: x\n    params:\n      params.yaml:\n"
        "        corrupt: {seed: 1}\n    outs:\n    - path: data/c\n      md5: ff.dir\n"
    )
    found = collect(tmp_path, tmp_path / "params.yaml")
    assert found.sections["corrupt"] == {"seed": "1"}
    known = collect(tmp_path, tmp_path / "params.yaml", todays={"corrupt"})
    assert known.sections["corrupt"] == {"seed": "2"}
    assert found.outputs == [Output("corrupt", "data/c", "ff.dir", None)]
    assert found.commit == ""


def test_the_stage_writes_the_page_whole(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")  # a run that keeps nothing
    settings = "slider: 1, gallery: 1, picture_pixels: 64, curve_points: 9, quarantine_rows: 2"
    (tmp_path / "params.yaml").write_text(f"report: {{title: Mine, {settings}}}\n")
    target = tmp_path / "out" / "index.html"
    report.main([*map(str, folders), str(target), "--params", str(tmp_path / "params.yaml")])
    assert target.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [path.name for path in target.parent.iterdir()] == ["index.html"]
    (folders[2] / "fidelity.safetensors").write_bytes(b"trained anew")
    facts = json.loads((folders[1] / "slices.json").read_text())
    told = {**facts, "subject": {"restorer": "of before"}}
    (folders[1] / "slices.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="another restorer"):
        report.main([*map(str, folders), str(target), "--params", str(tmp_path / "params.yaml")])
