"""Images as people have them are read right, or refused with a reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageCms, TiffImagePlugin

from remint.images.imagefile import (
    ImageFileError,
    decode,
    decode_stored,
    encode_png,
    read,
    stored_in_colour,
    to_channels,
)
from remint.images.layers import layers_of

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
CORNERS = np.array([[RED, GREEN, BLUE], [RED, RED, BLUE]], np.uint8)  # 2 x 3, no symmetry


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(
        buffer, format, **options
    )
    return buffer.getvalue()


@given(arrays(np.uint8, st.tuples(*[st.integers(1, 12)] * 2, st.sampled_from([1, 3]))))
@settings(max_examples=40, deadline=None)
def test_png_keeps_every_pixel_and_is_the_same_every_time(image):
    data = encode_png(image)
    assert np.array_equal(decode_stored(data), image) and np.array_equal(decode(data), image)
    assert encode_png(image.copy()) == data


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(orientation, format):
    stored = {  # EXIF 2.32, 4.6.4: what row 0 and column 0 of the stored pixels show
        1: CORNERS,
        2: CORNERS[:, ::-1],
        3: CORNERS[::-1, ::-1],
        4: CORNERS[::-1],
        5: CORNERS.swapaxes(0, 1),
        6: np.rot90(CORNERS, 1),
        7: np.rot90(CORNERS, 2).swapaxes(0, 1),
        8: np.rot90(CORNERS, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    data = encoded(np.ascontiguousarray(stored), format, exif=exif, **options)
    assert np.array_equal(decode(data), CORNERS)


def test_broken_exif_says_nothing_about_the_pixels():
    data = encoded(CORNERS, exif=b"Exif\0\0II*\0garbage of all sorts")
    assert np.array_equal(decode(data), CORNERS)


def test_a_palette_with_a_transparent_entry_becomes_colour_on_the_background():
    image = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    image.putpalette([*RED, *GREEN])
    data = encoded(image, transparency=1)
    assert decode(data, background=7).tolist() == [[[255, 0, 0], [7, 7, 7]]]


def test_alpha_is_composited_over_the_background():
    pixels = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8)
    white = decode(encoded(pixels))[0].tolist()
    assert white == [[200, 100, 0], [255, 255, 255], [244, 224, 204]]
    assert decode(encoded(pixels), background=0)[0].tolist()[2] == [40, 20, 0]


def test_grey_with_alpha_stays_grey():
    pixels = np.array([[[100, 255], [100, 0]]], np.uint8)
    assert decode(encoded(Image.fromarray(pixels, "LA"))).tolist() == [[[100], [255]]]


def test_sixteen_bits_keep_their_range():
    values = np.array([[0, 257, 32768, 65535, 300]], np.uint16)
    for format in ("PNG", "TIFF"):
        assert decode(encoded(values, format))[0, :, 0].tolist() == [0, 1, 128, 255, 1]


def test_sixteen_bit_colour_is_rounded_to_eight():
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0" + struct.pack(">HHH", 65535, 32896, 300))
    chunks = [(b"IHDR", header), (b"IDAT", pixel), (b"IEND", b"")]
    assert decode(png(chunks)).tolist() == [[[255, 128, 1]]]


def test_heic_is_read_and_a_pdf_is_said_to_be_out():
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    picture = np.full((32, 48, 3), (200, 40, 90), np.uint8)
    found = decode(encoded(picture, "HEIF", quality=100))
    assert found.shape == picture.shape and np.abs(found.astype(int) - picture).max() < 8
    with pytest.raises(ImageFileError, match="is a PDF, which Remint does not read"):
        decode(b"%PDF-1.7\n")


def png(chunks):
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_float_grey_must_lie_between_0_and_1():
    values = np.array([[0.0, 0.5, 1.0]], np.float32)
    assert decode(encoded(values, "TIFF"))[0, :, 0].tolist() == [0, 128, 255]
    for wrong in (2.0, np.nan):
        with pytest.raises(ImageFileError, match=r"0\.\.1"):
            decode(encoded(values * np.float32(wrong), "TIFF"))


@pytest.mark.parametrize(("kind", "white"), [(np.uint16, 65535), (np.float32, 1.0)])
def test_deep_tiff_files_whose_zero_is_white_are_read_as_they_look(kind, white):
    pixels = np.array([[0, white]], kind)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = 0
    stored = encoded(pixels, "TIFF", tiffinfo=tags)
    assert Image.open(io.BytesIO(stored)).tag_v2[262] == 0
    assert decode(stored)[0, :, 0].tolist() == [255, 0]


def test_one_bit_and_one_pixel_images_are_read():
    assert decode(encoded(Image.new("1", (1, 1), 1))).tolist() == [[[255]]]
    assert decode(encoded(Image.new("RGB", (1, 1), RED))).tolist() == [[[255, 0, 0]]]


def test_cmyk_becomes_rgb():
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = decode(data)[4, 4].tolist()
    assert red > 240 and green < 15 and blue < 15


def test_cielab_becomes_rgb_and_says_so():
    lab = ImageCms.applyTransform(
        Image.new("RGB", (8, 8), RED),
        ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        ),
    )
    layers = layers_of(Image.open(io.BytesIO(encoded(lab, "TIFF"))))
    assert layers.changes == ("CIELAB became RGB",)
    assert np.abs(layers.pixels[4, 4].astype(int) - RED).max() <= 8


def test_a_profile_of_another_colour_space_is_ignored():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert np.array_equal(decode(encoded(CORNERS, icc_profile=profile)), CORNERS)
    assert np.array_equal(decode(encoded(CORNERS, icc_profile=b"no profile")), CORNERS)


def test_an_srgb_profile_changes_nothing():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode(encoded(CORNERS, icc_profile=profile)), CORNERS)


def linear_profile():
    """Make an RGB profile with sRGB's primaries and a linear tone curve, from the sRGB one."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for place in range(132, 132 + 12 * struct.unpack(">I", data[128:132])[0], 12):
        name, offset, _ = struct.unpack(">4sII", data[place : place + 12])
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            data[offset : offset + 12] = b"curv\0\0\0\0" + struct.pack(">I", 0)
            data[place + 8 : place + 12] = struct.pack(">I", 12)
    return bytes(data).replace("sRGB".encode("utf-16-be"), "LinR".encode("utf-16-be"))


def test_a_profile_that_fits_leads_to_srgb():
    grey = np.full((2, 2, 3), 55, np.uint8)  # linear 55/255 is 128 in sRGB (IEC 61966-2-1)
    found = decode(encoded(grey, icc_profile=linear_profile()))
    assert abs(found.astype(int) - 128).max() <= 1


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_counts(format):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN)]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert decode(data)[0, 0].tolist() == [255, 0, 0]


def test_a_decompression_bomb_is_refused_unread():
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    with pytest.raises(ImageFileError, match="pixels"):
        decode(png([(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]))
    with pytest.raises(ImageFileError, match="3 x 2 pixels, above the limit of 5"):
        decode(encoded(CORNERS), max_pixels=5)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
def test_a_truncated_file_is_refused(format):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(noise, format)
    with pytest.raises(ImageFileError, match="truncated or broken"):
        decode(data[: len(data) // 2])


def test_empty_files_and_files_that_are_no_images_are_refused():
    with pytest.raises(ImageFileError, match="empty"):
        decode(b"")
    for data in (b"hello, world", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n\x1a\n", bytes(999)):
        with pytest.raises(ImageFileError):
            decode(data)


@given(st.binary(max_size=60), st.integers(0, 200))
@settings(max_examples=150, deadline=None)
def test_no_bytes_whatever_raise_anything_but_the_named_error(noise, place):
    data = encoded(CORNERS, "JPEG")
    try:
        image = decode(data[:place] + noise + data[place + len(noise) :])
        assert image.dtype == np.uint8 and image.ndim == 3
    except ImageFileError:
        pass


def test_a_file_that_cannot_be_opened_is_the_named_error(tmp_path):
    with pytest.raises(ImageFileError, match="cannot be opened"):
        read(tmp_path / "nowhere.png")


def test_colour_is_known_from_the_header(tmp_path):
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    cases = {"L": Image.new("L", (2, 2)), "RGB": Image.new("RGB", (2, 2))}
    cases["red palette"], cases["grey palette"] = palette.copy(), palette.copy()
    cases["red palette"].putpalette([*RED, *GREEN])
    cases["grey palette"].putpalette([3, 3, 3, 9, 9, 9])
    for name, image in cases.items():
        (tmp_path / name).write_bytes(encoded(image))
    assert [name for name in cases if stored_in_colour(tmp_path / name)] == ["RGB", "red palette"]


def test_grey_from_colour_is_full_range_bt601_luma():
    grey = to_channels(CORNERS, 1)[0, :, 0].tolist()
    assert grey == [76, 150, 29]  # 0.299, 0.587, 0.114 of 255
    assert to_channels(np.full((1, 1, 1), 8, np.uint8), 3).tolist() == [[[8, 8, 8]]]
