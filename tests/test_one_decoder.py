"""One file gives the same pixels to training, to `remint restore` and to the protocol."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from remint.images import imagefile
from remint.images.layers import to_eight_bits
from remint.restorer_evaluation import protocol
from tasks.commands import photo
from tests.test_imagefile import linear_profile


def scene() -> np.ndarray:
    rows, columns = np.mgrid[:20, :28]
    return np.stack([rows * 12, columns * 9, rows + columns], -1).astype(np.uint8)


def cmyk(path: Path) -> None:
    Image.fromarray(scene()).convert("CMYK").save(path, "TIFF")


def deep(path: Path) -> None:
    values = scene().astype(np.uint16) * 256 + np.arange(28, dtype=np.uint16)[None, :, None] * 9
    cv2.imwrite(str(path.with_suffix(".png")), values)
    path.with_suffix(".png").rename(path)


def palette(path: Path) -> None:
    Image.fromarray(scene()).quantize(31).save(path, "PNG")


def grey_palette(path: Path) -> None:
    image = Image.fromarray(scene()[:, :, 0] % 7).convert("P")
    image.putpalette([level for grey in range(256) for level in (grey,) * 3])
    image.save(path, "PNG")


def rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(scene()).save(path, "TIFF", exif=exif)


def profiled(path: Path) -> None:
    Image.fromarray(scene()).save(path, "PNG", icc_profile=linear_profile())


def float_grey(path: Path) -> None:
    Image.fromarray(scene()[:, :, 0].astype(np.float32) / 255).save(path, "TIFF")


WRITERS = (cmyk, deep, palette, grey_palette, rotated, profiled, float_grey)


@pytest.mark.parametrize("write", WRITERS)
def test_training_restoring_and_the_protocol_see_the_same_pixels(write, tmp_path: Path) -> None:
    file = tmp_path / "picture"
    write(file)
    trained = imagefile.read(file)
    (page,) = photo.pages(file, 10**6)
    np.testing.assert_array_equal(to_eight_bits(page.layers.pixels), trained)
    np.testing.assert_array_equal(protocol.read(file, trained.shape[2]), trained)


def test_the_three_would_differ_if_profiles_depth_or_rotation_were_left_out(tmp_path) -> None:
    for write in (profiled, rotated, deep):
        write(tmp_path / write.__name__)
    plain = scene()
    assert np.abs(imagefile.read(tmp_path / "profiled").astype(int) - plain).max() > 20
    assert imagefile.read(tmp_path / "rotated").shape == (28, 20, 3)
    (page,) = photo.pages(tmp_path / "deep", 10**6)
    assert page.layers.pixels.dtype == np.uint16
