"""`remint web`: what it does to a picture, and the page itself in a real browser."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from remint.images import provenance
from remint.restorer import shipped
from tasks.commands import cli, photo, web, web_work
from tests.processes import Spawner
from tests.restoring import scene, small_model
from tests.servers import free_port

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")


def pictured(folder: Path, name: str = "a.jpg") -> Path:
    exif = Image.Exif()
    exif[270] = "a street"
    Image.fromarray(scene(48, 64)).save(folder / name, exif=exif, dpi=(300, 300))
    return folder / name


def test_a_dropped_picture_comes_back_in_its_format_with_what_it_said(tmp_path: Path) -> None:
    answer = web_work.restored(pictured(tmp_path), small_model(tmp_path / "model"), tmp_path)
    assert answer.file.name == "a-restored.jpg" and answer.after.shape == (48, 64, 3)
    with Image.open(answer.file) as image:
        assert image.format == "JPEG" and image.getexif()[270] == "a street"
    assert provenance.read(answer.file) == provenance.uri("algorithmicallyEnhanced")
    assert answer.doubt is None and "tmp" not in answer.notes


def test_what_is_not_painted_stays_bit_for_bit_and_the_rest_is_marked_filled(
    tmp_path: Path,
) -> None:
    mask = np.zeros((24, 32), bool)
    mask[:8, :8] = True  # of a canvas half as large as the picture
    source = pictured(tmp_path)
    answer = web_work.restored(source, small_model(tmp_path / "model"), tmp_path, mask=mask)
    given, made = (np.array(Image.open(path)) for path in (source, answer.file))
    assert answer.file.suffix == ".png" and not np.array_equal(given, made)
    given[:16, :16], made[:16, :16] = 0, 0
    assert np.array_equal(given, made)
    filled = provenance.uri("compositeWithTrainedAlgorithmicMedia")
    assert provenance.read(answer.file) == filled


def test_a_painted_picture_of_16_bits_keeps_them_whatever_its_format(tmp_path: Path) -> None:
    deep = np.full((24, 32), 30_001, ">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5 32 24 65535\n" + deep.tobytes())
    mask = np.zeros((24, 32), bool)
    mask[:8, :8] = True
    model = small_model(tmp_path / "model")
    answer = web_work.restored(tmp_path / "a.pgm", model, tmp_path, mask=mask)
    (page,) = photo.pages(answer.file, 10**6)
    assert page.layers.pixels[20, 20, 0] == 30_001


def test_a_file_that_is_no_picture_gets_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"a\.png: it is not an image"):
        web_work.restored(tmp_path / "a.png", small_model(tmp_path / "model"), tmp_path)


def test_the_trained_model_comes_first_and_has_a_knob_where_it_blends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert web_work.models()[0].folder == shipped.FOLDER
    monkeypatch.setattr(web_work, "TRAINED", small_model(tmp_path))
    first = web_work.models()[0]
    assert (first.title, first.knob, first.doubt) == ("trained here", None, False)
    shutil.copy(tmp_path / "fidelity.safetensors", tmp_path / "adversarial.safetensors")
    assert web_work.models()[0].knob == 0.0


def test_two_pictures_are_never_restored_at_once(tmp_path: Path, root: Path) -> None:
    code = f"""
from pathlib import Path
from tasks.commands import web_page
fns = web_page.build(Path({str(tmp_path)!r})).fns.values()
print({{fn.concurrency_id for fn in fns if fn.name in ("whole", "filled")}})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout == "{'restoring'}\n", done.stderr


def test_without_the_extra_the_command_to_install_it_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "find_spec", lambda _: None)
    with pytest.raises(SystemExit):
        cli.main(["web"])
    assert "pip install 'remint[web]'" in capsys.readouterr().err


@pytest.fixture
def page(tmp_path: Path, spawn: Spawner) -> Iterator[str]:
    small_model(tmp_path / "data/models/restorer")
    command = [sys.executable, "-m", "tasks.commands.cli", "web", "--port", str(free_port())]
    served = spawn(command, tmp_path / "log", cwd=tmp_path)
    served.until("ends it")
    yield next(word for word in served.said().split() if word.startswith("http"))


@pytest.mark.slow
@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium is installed here")
def test_a_person_restores_a_picture_and_no_other_host_is_asked(page: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        tab = browser.new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page)
        tab.set_input_files("#picture input[type=file]", pictured(tmp_path))
        tab.locator("#picture .file-preview").wait_for()
        tab.click("#restore")
        tab.locator("#slider img").nth(1).wait_for()
        with tab.expect_download() as waiting:
            tab.click("#download")
        made = tmp_path / "made.jpg"
        waiting.value.save_as(made)
        tab.get_by_role("tab", name="Mint").click()
        tab.get_by_text("No generator is trained here").wait_for()
        browser.close()
    assert provenance.read(made) == provenance.uri("algorithmicallyEnhanced")
    assert len(asked) > 10
    assert not [url for url in asked if not url.startswith((page, "data:", "blob:"))]
