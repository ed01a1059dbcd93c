"""`remint restore` on what people have: depth, pages, masks, and what no model was trained for."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence

from remint.images import imagefile, imageset, provenance
from remint.images.imageset import ImageSet, Record
from remint.restorer import shipped
from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.restorer import save_card, save_weights
from remint.restorer.suitability import drift_of, training_statistics
from tasks.commands import deep_files, photo_writing
from tests.restoring import restore, scene, small_model

ENHANCED = provenance.uri("algorithmicallyEnhanced")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model folder whose residual network changes its input a little."""
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_a_channel_stay_16_with_alpha_and_mark(
    model: Path, tmp_path: Path, channels: int, ending: str
) -> None:
    deep = np.dstack([scene(), scene()[:, :, 1]])[:, :, :channels].astype(np.uint16) * 256 + 77
    source, out = tmp_path / f"a.{ending}", tmp_path / "out" / f"a.{ending}"
    cv2.imwrite(str(source), deep)
    assert restore(model, source, tmp_path / "out") == 0
    found = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint16 and (found % 257).any()
    assert abs(found.mean() - deep.mean()) < 5000
    if channels == 4:
        np.testing.assert_array_equal(found[:, :, 3], deep[:, :, 3])
    assert provenance.read(out) == ENHANCED


def test_16_bits_become_8_where_the_format_asks_for_it_and_are_said_to(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), scene().astype(np.uint16) * 257)
    assert restore(model, tmp_path / "a.png", tmp_path / "b.jpg") == 0
    assert "16 bits a channel became 8 (1 image)" in capsys.readouterr().out


def test_a_deep_tiff_keeps_its_tags(model: Path, tmp_path: Path) -> None:
    kept = Image.Exif()
    kept[315] = "Olga"
    kept[700] = provenance.mark(None, "algorithmicallyEnhanced")
    kept.get_ifd(34665)[36867] = "2001:02:03 04:05:06"
    tags = Image.Exif()
    tags.load(kept.tobytes())
    with (tmp_path / "a.tif").open("w+b") as file:
        deep = scene().astype(np.uint16) * 250
        deep_files.write_tiff(deep, file, {"tiffinfo": tags, "dpi": (300, 300)})
    assert restore(model, tmp_path / "a.tif", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "a.tif") as image:
        exif = image.getexif()
        assert exif[315] == "Olga" and exif.get_ifd(34665)[36867] == "2001:02:03 04:05:06"
        assert [round(float(value)) for value in image.info["dpi"]] == [300, 300]


def test_a_tiff_of_several_pages_is_restored_page_by_page(model: Path, tmp_path: Path) -> None:
    pages = [Image.fromarray(scene(20 + 4 * page, 30)) for page in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert restore(model, tmp_path / "a.tif", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "a.tif") as image:
        assert image.n_frames == 3
        for number, page in enumerate(pages):
            image.seek(number)
            assert image.size == page.size
            assert provenance.source_type(provenance.packet_of(image)) == ENHANCED
            off = np.asarray(image).astype(int) - np.asarray(page)
            assert np.abs(off).mean() < 20
    assert restore(model, tmp_path / "a.tif", tmp_path / "b.png") == 1


@pytest.mark.parametrize("colour_first", [True, False])
def test_pages_in_grey_and_in_colour_go_to_the_model_for_colour(
    tmp_path: Path, colour_first: bool
) -> None:
    colour = np.stack([scene(40, 40)[:, :, 0], *[np.full((40, 40), 90, np.uint8)] * 2], axis=2)
    pages = [Image.fromarray(colour), Image.fromarray(scene(40, 40)[:, :, 0])]
    pages = pages if colour_first else pages[::-1]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert restore(shipped.FOLDER, tmp_path / "a.tif", tmp_path / "b.tif") == 0
    with Image.open(tmp_path / "b.tif") as made:
        modes = [page.mode for page in ImageSequence.Iterator(made)]
    assert modes == [page.mode for page in pages]


def test_the_limit_on_pixels_holds_where_a_model_is_chosen_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagefile, "PIXEL_CEILING", 100)
    Image.fromarray(scene(40, 40)).save(tmp_path / "a.png")
    given = (tmp_path / "a.png", tmp_path / "b.png", "--max-pixels")
    assert restore(shipped.FOLDER, *given, 1599) == 1
    assert restore(shipped.FOLDER, *given, 1600) == 0


def test_pages_of_16_bits_stay_apart_and_16(model: Path, tmp_path: Path) -> None:
    deep = [np.full((9, 8, 3), level, np.uint16) for level in (9_000, 50_000)]
    cv2.imwritemulti(str(tmp_path / "a.tif"), deep)
    assert restore(model, tmp_path / "a.tif", tmp_path / "out") == 0
    _, found = cv2.imreadmulti(str(tmp_path / "out" / "a.tif"), flags=cv2.IMREAD_UNCHANGED)
    assert [page.dtype for page in found] == [np.uint16] * 2
    assert found[0].mean() < 20_000 < 40_000 < found[1].mean()


def test_known_pixels_come_back_bit_equal_beside_a_filled_mask(model: Path, tmp_path: Path) -> None:
    mask = np.zeros((24, 32), np.uint8)
    mask[5:12, 6:20] = 255
    Image.fromarray(scene()).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    given = (tmp_path / "a.png", tmp_path / "b.png", "--mask", tmp_path / "mask.png")
    assert restore(model, *given) == 0
    found = np.asarray(Image.open(tmp_path / "b.png"))
    np.testing.assert_array_equal(found[mask == 0], scene()[mask == 0])
    assert not np.array_equal(found[mask > 0], scene()[mask > 0])
    assert provenance.read(tmp_path / "b.png") == provenance.uri(provenance.FILLED)


def test_a_model_that_fills_no_holes_says_so_and_one_whose_picture_is_grey_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = np.zeros((24, 32), np.uint8)
    mask[5:12, 6:20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    told = {}
    for name, level in (("black", 0), ("grey", 128)):
        Image.new("RGB", (32, 24), (level,) * 3).save(tmp_path / f"{name}.png")
        given = (tmp_path / f"{name}.png", tmp_path / f"{name}2.png")
        restore(Path("photo-colour"), *given, "--mask", tmp_path / "mask.png")
        told[name] = "was not trained to fill holes" in capsys.readouterr().err
    assert told == {"black": True, "grey": False}


def test_what_is_transparent_in_a_mask_is_not_filled(model: Path, tmp_path: Path) -> None:
    layer = np.zeros((24, 32, 4), np.uint8)
    layer[5:12, 6:20] = 255
    Image.fromarray(layer).save(tmp_path / "mask.png")
    Image.fromarray(scene()).save(tmp_path / "a.png")
    given = (tmp_path / "a.png", tmp_path / "b.png", "--mask", tmp_path / "mask.png")
    assert restore(model, *given) == 0
    unlike = (np.asarray(Image.open(tmp_path / "b.png")) != scene()).any(axis=2)
    assert unlike.any() and not unlike[layer[:, :, 3] == 0].any()


@pytest.mark.parametrize(
    ("depth", "name", "sentence"),
    [
        (1, "b.gif", "bit for bit, which GIF can't"),
        (257, "b.bmp", "bit for bit, which BMP can't"),
        (257, "b.webp", "bit for bit, which WEBP can't"),
    ],
)
def test_a_mask_is_refused_where_known_pixels_could_not_stay(
    model: Path, tmp_path: Path, capsys, depth: int, name: str, sentence: str
) -> None:
    kind = np.uint8 if depth == 1 else np.uint16
    Image.fromarray((scene()[:, :, 0].astype(kind) * depth).astype(kind)).save(tmp_path / "a.png")
    Image.fromarray(np.eye(24, 32, dtype=np.uint8) * 255).save(tmp_path / "mask.png")
    given = (tmp_path / "a.png", tmp_path / name, "--mask", tmp_path / "mask.png")
    assert restore(model, *given) == 1
    assert sentence in capsys.readouterr().err and not (tmp_path / name).exists()


def test_a_mask_is_an_original_too(model: Path, tmp_path: Path, capsys) -> None:
    mask = Image.fromarray(np.eye(24, 32, dtype=np.uint8) * 255)
    Image.fromarray(scene()).save(tmp_path / "a.png")
    mask.save(tmp_path / "mask.png")
    given = (tmp_path / "a.png", tmp_path / "mask.png", "--mask", tmp_path / "mask.png")
    assert restore(model, *given, "--force") == 1
    assert "never overwritten" in capsys.readouterr().err
    assert Image.open(tmp_path / "mask.png").tobytes() == mask.tobytes()


def test_transparency_that_a_format_cannot_keep_is_told_with_one_that_can(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGBA", (32, 24), (90, 80, 70, 60)).save(tmp_path / "a.png")
    for name in ("a.jpg", "a.ppm"):
        assert restore(model, tmp_path / "a.png", tmp_path / name) == 1
        assert "name an output that ends in .png" in capsys.readouterr().err
        assert not (tmp_path / name).exists()


def test_no_drift_is_told_of_a_filled_hole(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (32, 24)).save(tmp_path / "a.png")
    mask = Image.new("L", (32, 24), 255)
    mask.putpixel((0, 0), 0)
    mask.save(tmp_path / "mask.png")
    restore(model, tmp_path / "a.png", tmp_path / "b.png", "--mask", tmp_path / "mask.png")
    assert (tmp_path / "b.png").exists() and "brighter" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "size", "sentence"),
    [
        ("b.jpg", (32, 24), "which JPEG can't"),
        ("b.png", (24, 32), "has 24 x 32 px"),
        ("b.png", (32, 24), "is white everywhere"),
    ],
)
def test_a_mask_that_cannot_be_kept_to_is_refused(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    out: str,
    size: tuple[int, int],
    sentence: str,
) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    Image.new("L", size, 255).save(tmp_path / "mask.png")
    assert restore(model, tmp_path / "a.png", tmp_path / out, "--mask", tmp_path / "mask.png") == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / out).exists()


@pytest.mark.parametrize("quality", [91, 95, 98])
def test_a_jpeg_keeps_about_its_quality_but_not_its_damage(
    model: Path, tmp_path: Path, quality: int
) -> None:
    for told, name in ((quality, "a.jpg"), (20, "low.jpg")):
        Image.fromarray(scene()).save(tmp_path / name, quality=told)
        with Image.open(tmp_path / name) as image:
            assert photo_writing.quality_of(image.quantization) == told
        assert restore(model, tmp_path / name, tmp_path / "out") == 0
    for name, least in (("a.jpg", quality), ("low.jpg", photo_writing.LEAST)):
        with Image.open(tmp_path / "out" / name) as image:
            assert photo_writing.quality_of(image.quantization) == least


def test_super_resolution_is_said_not_to_be_promised(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(model, tmp_path / "a.png", tmp_path / "b.png", "--scale", 4) == 2
    assert "no super-resolution is promised" in capsys.readouterr().err


def carded(model: Path, folder: Path, **seen: object) -> Path:
    """Return a copy of the model whose card says what it was trained on."""
    shutil.copytree(model, folder)
    card = json.loads((folder / "restorer.json").read_text())
    usual = {"means": [20.0, 60.0], "smallest_side": 28, "largest_side": 28}
    save_card(folder, {**card, "training_images": {**usual, **seen}})
    return folder


def test_what_a_model_was_not_trained_for_is_said_loudly(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(scene(160, 200) // 2 + 120).save(tmp_path / "a.png")
    Image.fromarray(np.full((28, 28, 3), 40, np.uint8)).save(tmp_path / "b.png")
    digits = carded(model, tmp_path / "digits")
    assert restore(digits, tmp_path / "a.png", tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert "warning: a.png: its mean brightness is" in said
    assert "it has 200 x 160 px and the model was trained on sides of 28 to 28 px" in said
    assert restore(digits, tmp_path / "b.png", tmp_path / "out") == 0
    assert "was trained on" not in capsys.readouterr().err


def test_a_result_far_from_its_input_in_brightness_is_never_silent() -> None:
    bright, dark = np.full((8, 8, 3), 120, np.uint8), np.full((8, 8, 3), 9, np.uint8)
    assert "darker than the picture (mean 120 became 9" in next(drift_of({}, bright, dark))
    deep = bright.astype(np.uint16) * 257
    assert not list(drift_of({}, bright, bright + 5)) and not list(drift_of({}, deep, bright))
    faded = {"training_images": {"drift": 101.5}}
    assert list(drift_of({"training_images": {"drift": 100.5}}, bright, dark))
    assert not list(drift_of(faded, bright, dark))


def test_a_colour_picture_is_refused_by_a_grey_model_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = NetworkConfig("dncnn", 4, (), 0, 1, 2)
    save_weights(tmp_path / "grey", "fidelity", build_network(network, channels=1))
    card = {"network": asdict(network), "channels": 1, "default_interpolation": 0.0}
    save_card(tmp_path / "grey", card)
    Image.fromarray(scene()).save(tmp_path / "a.png")
    assert restore(tmp_path / "grey", tmp_path / "a.png", tmp_path / "out") == 1
    assert "choose a model trained on colour" in capsys.readouterr().err


def test_a_pdf_in_a_folder_is_said_to_be_out(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(scene()).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.pdf").write_bytes(b"%PDF-1.7")
    assert restore(model, tmp_path / "in", tmp_path / "out") == 0
    assert "1 PDF left out, which Remint does not read" in capsys.readouterr().out


def test_heic_photographs_stay_heic_and_are_marked(model: Path, tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    Image.fromarray(scene(32, 48)).save(tmp_path / "a.heic", quality=95)
    assert restore(model, tmp_path / "a.heic", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "a.heic") as image:
        assert (image.format, image.size) == ("HEIF", (48, 32))
        assert provenance.source_type(provenance.packet_of(image)) == ENHANCED


def test_heic_is_written_from_another_format(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    Image.fromarray(scene(32, 48)).convert("RGBA").save(tmp_path / "a.png")
    command = [sys.executable, "-m", "tasks.commands.cli", "restore"]
    command += [str(tmp_path / name) for name in ("a.png", "b.heic")] + ["--model", str(model)]
    done = subprocess.run(command, capture_output=True, text=True)  # where nothing was read before
    assert done.returncode == 0, done.stderr
    Image.fromarray(scene(32, 48, 1)[:, :, 0]).save(tmp_path / "grey.jpg")
    assert restore(model, tmp_path / "grey.jpg", tmp_path / "grey.heif") == 0
    for name in ("b.heic", "grey.heif"):
        assert provenance.read(tmp_path / name) == ENHANCED


def test_heic_that_cannot_be_written_is_said_with_what_to_do(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    Image.fromarray(scene()).save(tmp_path / "a.png")
    assert restore(model, tmp_path / "a.png", tmp_path / "b.heic") == 1
    assert "pip install 'remint[heic]'; or name an output" in capsys.readouterr().err


def test_a_self_ensemble_is_named_and_gives_another_picture(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    mask = np.zeros((24, 32), np.uint8)
    mask[5:12, 6:20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    given = (tmp_path / "a.png", tmp_path / "b.png", "--mask", tmp_path / "mask.png")
    assert restore(model, *given) == 0 and "self-ensemble" not in capsys.readouterr().out
    single = np.asarray(Image.open(tmp_path / "b.png"))
    assert restore(model, *given, "--ensemble", "--force", "--tile", 16, "--overlap", 4) == 0
    assert "x8 self-ensemble" in capsys.readouterr().out
    found = np.asarray(Image.open(tmp_path / "b.png"))
    np.testing.assert_array_equal(found[mask == 0], scene()[mask == 0])
    assert not np.array_equal(found, single)


@pytest.mark.parametrize(("patch", "fit", "largest"), [(None, "keep", 12), (4, "keep", None)])
def test_a_card_says_what_training_saw(
    tmp_path: Path, patch: int | None, fit: str, largest
) -> None:
    records = [
        Record(f"{n:032x}", np.full((8, 10 + n, 1), 40 * n, np.uint8), split, str(n))
        for n, split in enumerate(("train", "train", "train", "test"))
    ]
    metadata = {"class_names": [], "channels": 1, "created": {"fit": fit}}
    imageset.write(tmp_path / "set", records, metadata=metadata)
    seen = training_statistics(ImageSet(tmp_path / "set"), patch)
    assert (seen["images"], seen["mean"], seen["means"]) == (3, 40.0, [0.0, 80.0])
    assert seen["std"] == pytest.approx(np.std([0, 40, 80]))
    assert (seen["smallest_side"], seen["largest_side"]) == (patch or 8, largest)
