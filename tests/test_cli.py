"""`remint restore` on images as people have them, with a tiny untrained model."""

import errno
import io
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from remint.images import provenance
from remint.images.layers import upright
from tasks.commands import cli, mint_files, photo, photo_writing
from tasks.commands.plans import walk
from tests.restoring import restore, scene, small_model

ENHANCED = provenance.uri("algorithmicallyEnhanced")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model folder whose residual network changes its input a little."""
    return small_model(tmp_path_factory.mktemp("model"))


def shown(path: Path) -> np.ndarray:
    """Return the pixels as a viewer shows them: EXIF orientation applied."""
    from PIL import ImageOps

    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)


def test_to_look_for_a_champion_makes_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (tmp_path / "in").mkdir()
    cli.main(["inbox", "in", "out", "--device", "cpu"])
    assert "no restorer is champion yet" in capsys.readouterr().out
    assert not list(tmp_path.glob("mlflow*"))


def test_help_answers_without_importing_torch() -> None:
    code = "import sys, tasks.commands.cli as c; c.build_parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_keeps_names_formats_and_relative_folders(model: Path, tmp_path: Path) -> None:
    names = ["a.png", "b/ü ñ 漢.jpg", "b/c/d.webp", "e.tiff", "f.bmp", "g.avif", "h.gif"]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene()).save(tmp_path / "in" / name)
    assert restore(model, tmp_path / "in", tmp_path / "out") == 0
    assert {str(path.relative_to(tmp_path / "out")) for path in walk(tmp_path / "out", [])} == {
        *names
    }
    for name in names:
        with Image.open(tmp_path / "in" / name) as old, Image.open(tmp_path / "out" / name) as new:
            assert (new.format, new.size) == (old.format, old.size)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tiff", "avif"])
def test_outputs_carry_the_iptc_mark(model: Path, tmp_path: Path, ending: str) -> None:
    Image.fromarray(scene()).save(tmp_path / f"a.{ending}")
    assert restore(model, tmp_path / f"a.{ending}", tmp_path / "out") == 0
    assert provenance.read(tmp_path / "out" / f"a.{ending}") == ENHANCED


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tiff"])
def test_the_output_shows_the_way_up_that_the_input_shows(
    model: Path, tmp_path: Path, orientation: int, ending: str
) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a.{ending}"
    Image.fromarray(scene(48, 64)).save(path, exif=exif, quality=100)
    assert restore(model, path, tmp_path / "out") == 0
    before, after = shown(path), shown(tmp_path / "out" / path.name)
    assert after.shape == before.shape
    assert np.corrcoef(after.ravel(), before.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_agrees_with_pillow_and_sideways_undoes_it(orientation: int) -> None:
    from PIL import ImageOps

    stored = scene(3, 5)
    image = Image.fromarray(stored)
    image.getexif()[274] = orientation
    turned = upright(stored, orientation)
    np.testing.assert_array_equal(turned, np.asarray(ImageOps.exif_transpose(image)))
    np.testing.assert_array_equal(photo_writing.sideways(turned, orientation), stored)


def test_exif_colour_profile_resolution_and_comment_are_kept(model: Path, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[315] = "Olga"
    exif.get_ifd(34665)[36867] = "2001:02:03 04:05:06"
    kept = {"exif": exif.tobytes(), "icc_profile": profile, "dpi": (300, 300)}
    for name in ("a.jpg", "a.png", "a.tiff"):
        Image.fromarray(scene()).save(tmp_path / name, **kept)
        assert restore(model, tmp_path / name, tmp_path / "out") == 0
        with Image.open(tmp_path / "out" / name) as image:
            found = image.getexif()
            assert image.info["icc_profile"] == profile
            assert [round(float(value)) for value in image.info["dpi"]] == [300, 300]
            assert found[315] == "Olga"
            assert found.get_ifd(34665)[36867] == "2001:02:03 04:05:06"


def test_utf_8_in_the_tags_of_a_tiff_is_kept(model: Path, tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[315] = "Ольга".encode()
    Image.fromarray(scene()).save(tmp_path / "a.tiff", tiffinfo=tags)
    assert restore(model, tmp_path / "a.tiff", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "a.tiff") as image:
        assert image.getexif()[315].encode("latin-1").decode() == "Ольга"


def test_png_texts_and_gamma_are_kept(model: Path, tmp_path: Path) -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Title", "boats")
    chunks.add(b"gAMA", struct.pack(">I", 60_000))
    Image.fromarray(scene()).save(tmp_path / "a.png", pnginfo=chunks)
    assert restore(model, tmp_path / "a.png", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert (image.text["Title"], image.info["gamma"]) == ("boats", 0.6)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_kept_to_the_bit(model: Path, tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(scene()).convert("P" if mode == "P" else mode)
    if mode == "P":
        image.info["transparency"] = 3
    else:
        image.putalpha(Image.fromarray(scene()[:, :, 1]))
    image.save(tmp_path / "a.png")
    assert restore(model, tmp_path / "a.png", tmp_path / "out") == 0
    with Image.open(tmp_path / "a.png") as old, Image.open(tmp_path / "out" / "a.png") as new:
        np.testing.assert_array_equal(
            new.convert("RGBA").getchannel("A"), old.convert("RGBA").getchannel("A")
        )


def test_cmyk_becomes_rgb_and_is_said_to(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(scene()).convert("CMYK").save(tmp_path / "a.jpg")
    assert restore(model, tmp_path / "a.jpg", tmp_path / "out") == 0
    assert "CMYK became RGB" in capsys.readouterr().out


def test_bad_files_are_listed_the_rest_is_restored_and_the_exit_status_is_1(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    whole = io.BytesIO()
    Image.fromarray(scene(200, 200)).save(whole, "JPEG")
    (folder / "cut.jpg").write_bytes(whole.getvalue()[:900])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not an image")
    (folder / "notes.txt").write_text("left out, no failure")
    Image.new("F", (4, 4), 7.0).save(folder / "float.tiff")
    frames = [Image.new("L", (4, 4), value) for value in (0, 9)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(scene()).save(folder / "good.png")
    assert restore(model, folder, tmp_path / "out") == 1
    said = capsys.readouterr()
    assert [path.name for path in walk(tmp_path / "out", [])] == ["good.png"]
    assert "restored 1 image into" in said.out and "no images: notes.txt" in said.out
    reasons = {"cut.jpg": "truncated", "empty.png": "empty", "text.png": "is not an image"}
    for name, reason in {**reasons, "float.tiff": "grey values", "moving.gif": "2 fr"}.items():
        assert any(name in line and reason in line for line in said.err.splitlines()), said.err


def test_nothing_is_overwritten_without_force(model: Path, tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("mine")
    assert restore(model, tmp_path / "a.png", tmp_path / "b.png") == 1
    assert (tmp_path / "b.png").read_text() == "mine"
    assert restore(model, tmp_path / "a.png", tmp_path / "b.png", "--force") == 0
    assert provenance.read(tmp_path / "b.png") == ENHANCED


def test_originals_are_never_overwritten_even_with_force(model: Path, tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    assert restore(model, tmp_path / "a.png", tmp_path / "a.png", "--force") == 1
    assert restore(model, tmp_path / "a.png", tmp_path, "--force") == 1
    assert (tmp_path / "a.png").read_bytes() == before


@pytest.mark.parametrize("out", [".", "sub", "sub/deeper", "../in"])
def test_an_output_inside_the_input_is_refused(
    model: Path, tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(scene()).save(folder / "a.png")
    assert restore(model, folder, folder / out) == 1
    assert "lies inside" in capsys.readouterr().err
    assert [path.name for path in walk(tmp_path, [])] == ["a.png"]


def test_a_symlink_loop_is_harmless_and_linked_folders_are_walked_once(tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "far").mkdir()
    (tmp_path / "far/b.png").touch()
    (tmp_path / "in/sub/a.png").touch()
    os.symlink(tmp_path / "in", tmp_path / "in/sub/loop")
    os.symlink(tmp_path / "far", tmp_path / "in/x")
    os.symlink(tmp_path / "far", tmp_path / "in/y")
    found = [str(path.relative_to(tmp_path / "in")) for path in walk(tmp_path / "in", [])]
    assert found == ["x/b.png", "sub/a.png"] or sorted(found) == ["sub/a.png", "x/b.png"]


def test_another_ending_of_a_single_output_changes_the_format(model: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(scene()).save(tmp_path / "a.png", exif=exif)
    assert restore(model, tmp_path / "a.png", tmp_path / "b.jpg") == 0
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.format == "JPEG"
    assert shown(tmp_path / "b.jpg").shape == shown(tmp_path / "a.png").shape


def test_the_thumbnail_of_the_damaged_picture_does_not_survive() -> None:
    entry = struct.pack("<HHII", 315, 2, 4, int.from_bytes(b"abc\0", "little"))
    first = struct.pack("<H", 1) + entry + struct.pack("<I", 99)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + b"thumbnail"
    clean = photo.without_thumbnail(exif)
    assert len(clean) == len(exif)
    assert clean == exif.replace(struct.pack("<I", 99), bytes(4))
    assert photo.without_thumbnail(b"garbage") == b"garbage"


def test_images_above_the_pixel_limit_and_missing_inputs_are_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (100, 100)).save(tmp_path / "a.png")
    assert restore(model, tmp_path / "a.png", tmp_path / "o", "--max-pixels", 9_999) == 1
    assert "raise max_pixels (--max-pixels)" in capsys.readouterr().err
    assert restore(model, tmp_path / "absent", tmp_path / "o") == 1
    assert restore(tmp_path, tmp_path / "a.png", tmp_path / "o") == 1
    assert "needed a trained restorer" in capsys.readouterr().err


def test_where_nothing_may_be_written_the_folder_is_named_and_no_hidden_file(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    opened = Path.open

    def refuse(path: Path, *given: Any, **options: Any) -> Any:
        if path.name.endswith(".partial"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *given, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert restore(model, tmp_path / "a.png", tmp_path / "out") == 1
    told = capsys.readouterr().err
    assert f"{tmp_path / 'out'} can't be written to (Permission denied)" in told
    assert ".partial" not in told


def test_a_broken_xmp_packet_is_written_anew_and_said_to(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.jpg", xmp=b"<broken")
    assert restore(model, tmp_path / "a.jpg", tmp_path / "out") == 0
    assert "unreadable XMP was written anew" in capsys.readouterr().out
    assert provenance.read(tmp_path / "out" / "a.jpg") == ENHANCED


def test_minting_is_a_verb_beside_restoring() -> None:
    given = cli.build_parser().parse_args(["mint", "out", "--class", "a b", "--count", "7"])
    assert (given.run, given.out, given.count) == (mint_files.run, Path("out"), 7)


def test_a_loop_of_links_and_a_broken_exif_end_no_run(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    (scans / "loop.png").symlink_to(scans / "loop.png")
    Image.new("L", (16, 16), 90).save(scans / "odd.jpg", exif=b"Exif\0\0garbage")
    assert restore(model, scans, tmp_path / "out") == 1
    assert (tmp_path / "out/odd.jpg").exists()
    assert "not restored: loop.png" in capsys.readouterr().err


def test_an_ending_that_cannot_be_written_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    assert restore(model, tmp_path / "a.png", tmp_path / "out.exr") == 1
    assert "the ending .exr can't be written" in capsys.readouterr().err
    assert not (tmp_path / "out.exr").exists()


def test_a_pipe_is_named_and_never_opened(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in/pipe.png")
    Image.fromarray(scene()).save(tmp_path / "in/a.png")
    assert restore(model, tmp_path / "in", tmp_path / "out") == 1
    assert "pipe.png: it is no regular file" in capsys.readouterr().err
    assert (tmp_path / "out/a.png").exists()


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch) -> None:
    real, failures = os.scandir, []  # root may read everything, so the system's refusal is played

    def refused(path: Path) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    (tmp_path / "locked").mkdir()
    (tmp_path / "a.png").touch()
    monkeypatch.setattr(os, "scandir", refused)
    assert [path.name for path in walk(tmp_path, failures)] == ["a.png"]
    assert len(failures) == 1 and "locked: the folder can't be read" in failures[0]
