"""The report page as a person sees it, in a real browser and windows of several widths."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tasks import report
from tasks.page.inputs import read_inputs
from tests.test_report import CONFIG, folders, provenance
from tests.test_web import CHROMIUM, QUIET

__all__ = ["folders"]
SPILT = "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.innerText)"


@pytest.fixture
def shown(folders: list[Path], tmp_path: Path) -> str:
    """The address of a page with sliders over a whole picture and over single images."""
    entry = {"id": "1", "kind": "salt_and_pepper", "severity": 5, "psnr_input": 19.25}
    entry |= {"psnr": 26.61, "psnr_classical": 24.15}
    for role in ("input", "output", "target", "classical"):
        entry[role] = f"{role}.png"
        Image.new("L", (200, 100)).save(folders[1] / "gallery" / f"{role}.png")
    entries = [
        {"group": "pages", "tiles": 12, "tiles_there": 12, **entry},
        *[{"group": "random", **entry}] * 3,
    ]
    (folders[1] / "gallery.json").write_text(json.dumps(entries))
    config = replace(CONFIG, slider=3)
    (page := tmp_path / "seen.html").write_text(
        report.render(read_inputs(folders), provenance(), config)
    )
    return page.as_uri()


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium is installed here")
def test_labels_of_sliders_fit_their_buttons_in_a_window_of_any_width(shown: str) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        tab = browser.new_page()
        for width in (320, 390, 700, 1000, 1400):
            tab.set_viewport_size({"width": width, "height": 900})
            tab.goto(shown)
            buttons = tab.locator(".choices button")
            assert buttons.count() == 12 and buttons.evaluate_all(SPILT) == [], width
            first, second = (tab.locator(".stage").nth(n).bounding_box() for n in (0, 1))
            assert first and second and first["width"] >= second["width"]
        browser.close()
