"""The page's minting half: verdicts first, every figure and picture on it, absence named."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks import report
from tasks.page.arm_chart import charts
from tasks.page.generator_verdict import mint_verdict
from tasks.page.inputs import Inputs, read_inputs
from tasks.page.provenance import Provenance
from tasks.page.words import signed

CONFIG = report.ReportConfig("A title", 1, 2, 64, 50, 1)
NOWHERE = Provenance("", False, [], {}, {}, {})
SPACE = {"space": "efflite0", "images": 500, "kid": 0.0123, "kid_se": 0.001, "kid_floor": 0.0004}
FIGURES = {
    "model": {"name": "conv", "images_seen": 1000, "minutes": 2.5},
    "rows": [SPACE, {"space": "classifier", "images": 900, "kid": 0.5, "coverage": 0.4321}],
    "classes": [{"name": "<i>cat</i>", "accuracy": 0.9, "confidence": 0.8, "images": 10}],
    "notes": ["efflite0: no Frechet distance; it needs 1000 images a side."],
    "beside": [{"name": "vae", "rows": [{"space": "efflite0", "images": 500, "kid": 0.0777}]}],
}
METRICS = {"class_accuracy": 0.95, "class_accuracy_real": 0.97, "kid_efflite0": 0.0123}


def arm(name: str, accuracy: float, **more: Any) -> dict[str, Any]:
    row = {"arm": name, "title": name.replace("_", " "), "fraction": "all", "real_images": 900}
    row |= {"images": 900}
    row |= {"accuracy": accuracy, "accuracy_low": accuracy - 0.01, "accuracy_high": accuracy + 0.01}
    return {**row, **more}


def verdict_row(word: str, gain: float) -> dict[str, Any]:
    row = {"fraction": "all", "comparison": "classical", "primary": True, "verdict": word}
    return {**row, "text": f"It {word}.", "gain": gain, "low": gain - 1, "high": gain + 1}


def write(folder: Path, gallery: str, pictures: str, entries: list[str], **files: Any) -> Path:
    (folder / pictures).mkdir(parents=True)
    listed = []
    for number, group in enumerate(entries):
        Image.new("L", (8, 8), number).save(folder / pictures / f"{group}.png")
        entry = {"group": group, "title": f"Title of {group}", "file": f"{group}.png", "rows": []}
        listed.append({**entry, "suspected": number == 0})
    for name, content in {**files, gallery: listed}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Return the three reports of the minting half, small but complete."""
    utility = {
        "notes": ["Fixed beforehand: a change below 1 point does not count."],
        "arms": [arm("real", 0.9), arm("real_synthetic", 0.92), arm("real_shuffled", 0.8)],
        "verdicts": [verdict_row("helps", 2.0)],
        "controls": [{"passed": False, "text": "Shuffled labels change nothing."}],
        "gaps": [{"text": "A gap of 4.20 points."}],
    }
    copies = {
        "verdict": "Possible copies: 3 of 60; look at the pairs.",
        "notes": ["A check for copies, not privacy."],
        "spaces": [],
        "suspects": {"images": 60, "suspected_share": 0.05, "held_out_suspected_share": 0.005},
        "selftest": [{"description": "turned", "detected_share": 0.485, "planted": 200}],
    }
    counts = {
        "class": "cat",
        "wanted": 6,
        "exported": 5,
        "minted": 9,
        "discriminator": 1,
        "validity": 3,
    }
    tried = {"accuracy_synthetic_only": 0.85, "cas_gap_points": 4.2}
    shown = ["samples", "class", "nearest"]
    return [
        write(tmp_path / "g", "gallery", "gallery", shown, metrics=METRICS, figures=FIGURES),
        write(
            tmp_path / "e", "gallery", "gallery", ["exported"],
            metrics={"images": 5, "minted": 9},
            figures={
                "notes": ["One short."], "classes": [counts],
                "filters": ["validity", "discriminator"],
                "failures": [{"text": "No image of dog."}],
            },
        ),
        write(
            tmp_path / "s", "copies", "copies", ["synthetic", "held_out"],
            metrics=tried, utility=utility, copycheck=copies,
        ),
    ]  # fmt: skip


def page(folders: list[Path]) -> str:
    return report.render(read_inputs(folders), NOWHERE, CONFIG)


def test_verdicts_stand_first_in_plain_words(folders: list[Path]) -> None:
    found = mint_verdict(read_inputs(folders))
    assert found is not None and found.headline == (
        "Minted images are mostly recognised as what they should be: 95.0\u202f% by a classifier "
        "of real ones; added to real images they help a classifier (+2.00 points); possible copies."
    )
    text = page(folders)
    assert text.index(found.headline[:40]) < text.index("<nav")
    assert "Shuffled labels change nothing." in found.sentences
    assert [tile.good for tile in found.tiles] == [True, None, True, True, False]


@pytest.mark.parametrize(
    ("word", "said", "good"), [("hurts", "they hurt", False), ("inconclusive", "not settled", None)]
)
def test_an_honest_no_is_said_as_plainly(
    folders: list[Path], word: str, said: str, good: bool | None
) -> None:
    path = folders[2] / "utility.json"
    utility = json.loads(path.read_text())
    path.write_text(json.dumps({**utility, "verdicts": [verdict_row(word, -2.0)]}))
    found = mint_verdict(read_inputs(folders))
    assert (
        found is not None
        and said in found.headline
        and f"({signed(-2.0)} points)" in (found.headline)
    )
    assert found.tiles[3].good is good


def test_every_figure_of_the_reports_is_on_the_page(folders: list[Path]) -> None:
    text = page(folders)
    parts = ["12.30 ± 1.00", "[0.40]", "77.70", "0.432", "needs 1000 images a side", "48.5"]
    parts += ["A gap of 4.20 points.", "<b>suspected</b>", "One short.", "Title of nearest"]
    parts += ["No image of dog."]
    for part in parts:
        assert part in text, part
    assert "&lt;i&gt;cat&lt;/i&gt;" in text and "<i>cat" not in text
    assert text.count("data:image/") == 6
    assert not re.search(r"https?://|url\(|@import", text)


def test_filters_stand_in_the_order_in_which_they_are_tried(folders: list[Path]) -> None:
    text = page(folders)
    assert text.index(">Validity<") < text.index(">Discriminator<")


def test_a_check_that_sees_too_little_is_neither_good_nor_bad(folders: list[Path]) -> None:
    path = folders[2] / "copycheck.json"
    blind = {"verdict": "Can't tell whether any is a copy: it finds 24 % of noisy ones."}
    path.write_text(json.dumps({**json.loads(path.read_text()), **blind}))
    verdict = mint_verdict(read_inputs(folders))
    assert verdict is not None and verdict.tiles[4].good is None
    assert verdict.headline.endswith("can't tell whether any is a copy.")


def test_each_report_may_be_absent(folders: list[Path]) -> None:
    assert mint_verdict(Inputs()) is None
    for folder in folders:
        assert "<h2>Where this comes from</h2>" in page([folder])
    assert "Is any a copy?" not in page(folders[:2])


def test_a_set_without_classes_still_has_its_page(folders: list[Path]) -> None:
    empty: dict[str, list[Any]] = {n: [] for n in ("arms", "verdicts", "controls", "gaps")}
    utility = {**empty, "notes": ["This set has no two classes."]}
    (folders[2] / "utility.json").write_text(json.dumps(utility))
    copies = {"verdict": "Not checked. Too few.", "notes": [], "suspects": {}, "spaces": []}
    (folders[2] / "copycheck.json").write_text(json.dumps({**copies, "selftest": []}))
    (folders[2] / "metrics.json").write_text("{}")
    text = page(folders[2:])
    assert "Copies were not looked for." in text and "no two classes" in text


def test_arms_are_placed_by_their_accuracy_and_keep_their_interval() -> None:
    (chart,) = charts([arm("real", 0.9), arm("real_synthetic", 0.95), arm("synthetic", 0.98)])
    spans = re.findall(
        r'd="M ([\d.]+) [\d.]+ \nL ([\d.]+) [\d.]+ \n".*stroke: var\(--s\d', chart.svg
    )
    dots = re.findall(r'<use [^>]*x="([\d.]+)"[^>]*fill: var\(--paper\)', chart.svg)
    placed = [
        (float(low), float(x), float(high)) for (low, high), x in zip(spans, dots, strict=True)
    ]
    assert len(placed) == 3 and placed == sorted(placed)
    assert all(low < x < high for low, x, high in placed)
    assert charts([]) == []
