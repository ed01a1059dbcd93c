"""The page of `remint web` as a person uses it: mouse, strokes, buttons, and what comes down."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from remint.generator.generator import Minter
from remint.images import provenance
from tests.processes import Spawner, ended_after
from tests.restoring import scene, small_model
from tests.servers import free_port
from tests.test_mint import save_generator
from tests.test_web import CHROMIUM, QUIET

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium is installed here"),
]
GENERATOR = "data/models/generator"
ENLARGED = "parseInt(document.querySelector('#paint')?.innerText) > 100"  # a small picture is
OTHER_IMAGE = """before => {
    const image = document.querySelector('#minted img');
    return image && image.src !== before;
}"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a restorer, a generator, and a picture."""
    folder = tmp_path_factory.mktemp("web")
    small_model(folder / "data/models/restorer")
    save_generator(folder / GENERATOR, "clean")
    for name in ("a.png", "b.png"):
        Image.fromarray(scene(200, 300)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def spawn() -> Iterator[Spawner]:
    """Start processes that end with this file's tests."""
    yield from ended_after()


@pytest.fixture(scope="module")
def address(home: Path, spawn: Spawner) -> str:
    command = [sys.executable, "-m", "tasks.commands.cli", "web", "--port", str(free_port())]
    served = spawn(command, home / "log", cwd=home)
    served.until("ends it")
    return next(word for word in served.said().split() if word.startswith("http"))


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: "Browser", address: str) -> "Iterator[Page]":
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.locator("#restore").wait_for()
    yield page
    page.close()


def opened_to_paint(tab: "Page", picture: Path) -> None:
    tab.get_by_text("Or fill parts of it").click()
    dropped(tab, picture)
    tab.wait_for_function(ENLARGED)


def dropped(tab: "Page", picture: Path) -> None:
    tab.set_input_files("#picture input[type=file]", picture)
    tab.locator("#picture .file-preview").wait_for()


def stroke(tab: "Page") -> None:
    """Paint from the middle of the canvas to the right."""
    x, y = middle(tab)
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + 80, y, steps=6)
    tab.mouse.up()


def middle(tab: "Page") -> tuple[float, float]:
    canvas = tab.locator("#paint canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def seen_paint(tab: "Page") -> np.ndarray:
    """Return first row, last row, first and last column of the paint, in px of the picture."""
    x, y = middle(tab)
    tab.mouse.move(5, 5)
    shot = np.array(Image.open(io.BytesIO(tab.screenshot())).convert("RGB")).astype(int)
    zoom = int(tab.locator("#paint").inner_text().split("%")[0]) / 100
    shot[:, : int(x) - 100] = 0  # the palette has the paint's colour too
    edges = box_of((shot == (255, 0, 255)).all(-1))
    return (edges - np.array([y, y, x, x])) / zoom + [100, 100, 150, 150]


def box_of(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return np.array([rows.min(), rows.max(), columns.min(), columns.max()])


def downloaded(tab: "Page", button: str, folder: Path) -> Path:
    with tab.expect_download() as waiting:
        tab.click(button)
    waiting.value.save_as(folder / waiting.value.suggested_filename)
    return folder / waiting.value.suggested_filename


def told(tab: "Page", sentence: str) -> None:
    """Wait for a sentence on top of the page, close it, and see no bare `Error` anywhere."""
    tab.get_by_test_id("toast-body").get_by_text(sentence).wait_for()
    assert tab.get_by_text("Error").count() == 0
    tab.get_by_test_id("toast-close").click()
    tab.get_by_test_id("toast-body").wait_for(state="detached")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def test_what_is_painted_is_filled_and_no_other_pixel_changes(
    tab: "Page", home: Path, tmp_path: Path
) -> None:
    opened_to_paint(tab, home / "a.png")
    stroke(tab)
    tab.click("#filling")
    tab.locator("#slider img").nth(1).wait_for()
    painted, file = seen_paint(tab), downloaded(tab, "#download", tmp_path)
    changed = (pixels(file) != pixels(home / "a.png")).any(-1)
    rows, columns = slice(*box_of(changed)[:2]), slice(*box_of(changed)[2:])
    assert np.abs(box_of(changed) - painted).max() <= 2  # nothing outside the paint
    assert changed[rows, columns].mean() > 0.8  # all of it but its round ends
    assert provenance.read(file) == provenance.uri("compositeWithTrainedAlgorithmicMedia")
    assert tab.get_by_label("Notes").input_value() == "Filled."


def test_the_bin_leaves_the_picture_to_paint_on(tab: "Page", home: Path) -> None:
    opened_to_paint(tab, home / "a.png")
    tab.get_by_label("Clear canvas").click()
    tab.click("#filling")
    told(tab, "Paint over what is to be filled first.")
    tab.wait_for_function(ENLARGED)


def test_results_go_with_the_picture_they_were_of(tab: "Page", home: Path) -> None:
    dropped(tab, home / "a.png")
    tab.click("#restore")
    tab.locator("#slider img").nth(1).wait_for()
    tab.click("#picture button[aria-label=Clear]")
    dropped(tab, home / "b.png")
    tab.locator("#download[disabled]").wait_for()
    assert tab.locator("#slider img").count() == 0


def test_buttons_without_a_picture_say_what_is_missing(tab: "Page") -> None:
    tab.get_by_text("Or fill parts of it").click()
    for button in ("#restore", "#filling"):
        tab.click(button)
        told(tab, "Drop a picture first.")
        assert tab.get_by_label("Notes").input_value() == "Drop a picture first."


def test_a_person_mints_by_class_seed_and_the_way_between(
    tab: "Page", home: Path, tmp_path: Path
) -> None:
    tab.get_by_role("tab", name="Mint").click()
    tab.click("#class input")
    tab.get_by_role("option", name="b").click()
    expected = Minter.load(home / GENERATOR).mint(np.array([1, 1]), np.array([7, 9]))[..., 0]
    tab.fill("#seed input", "7")
    tab.fill("#other input", "9")
    files = [minted(tab, way, tmp_path) for way in ("0", "0.5", "1")]
    assert [file.name for file in files] == ["b-7.png", "b-7-9-0.50.png", "b-7-9-1.00.png"]
    first, between, last = (pixels(file) for file in files)
    assert np.array_equal(first, expected[0]) and np.array_equal(last, expected[1])
    assert not np.array_equal(between, first) and not np.array_equal(between, last)
    assert provenance.read(files[0]) == provenance.uri("trainedAlgorithmicMedia")


def minted(tab: "Page", way: str, folder: Path) -> Path:
    shown = tab.evaluate("document.querySelector('#minted img')?.src")
    tab.fill("#share input[type=number]", way)
    tab.keyboard.press("Tab")
    tab.click("#mint")
    tab.wait_for_function(OTHER_IMAGE, arg=shown)
    return downloaded(tab, "#keep", folder)


def test_a_seed_that_is_none_gets_one_sentence(tab: "Page") -> None:
    tab.get_by_role("tab", name="Mint").click()
    for seed in ("", "-3", str(2**53)):
        tab.fill("#seed input", seed)
        tab.click("#mint")
        told(tab, "Both seeds are whole numbers from 0 to")
