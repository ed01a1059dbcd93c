"""Fitting: each mode takes from an image what its name says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remint.images.fitting import TooSmallError, fit, resized

SIDES = st.integers(1, 40)


def ramp(height, width, channels=1):
    values = np.arange(height * width * channels) % 251
    return values.reshape(height, width, channels).astype(np.uint8)


def only(image, mode, size, background=255):
    ((where, part),) = fit(image, mode, size, background)
    assert where == ""
    return part


@given(SIDES, SIDES, st.sampled_from([1, 3]), st.sampled_from(["resize", "crop", "pad"]), SIDES)
@settings(max_examples=60, deadline=None)
def test_single_fits_give_the_size_and_keep_the_channels(height, width, channels, mode, size):
    part = only(ramp(height, width, channels), mode, size)
    assert part.shape == (size, size, channels) and part.dtype == np.uint8


def test_an_image_of_the_right_size_is_left_alone():
    image = ramp(9, 9, 3)
    for mode in ("resize", "crop", "pad", "keep"):
        assert np.array_equal(only(image, mode, 9), image)


def test_crop_takes_the_centre_square():
    image = ramp(4, 10)
    assert np.array_equal(only(image, "crop", 4), image[:, 3:7])


def test_pad_keeps_proportions_and_fills_with_the_background():
    part = only(np.zeros((10, 20, 1), np.uint8), "pad", 10, background=77)
    assert (part[:2] == 77).all() and (part[-3:] == 77).all() and (part[3:7] == 0).all()


def test_keep_takes_any_size():
    assert only(ramp(3, 7), "keep", 28).shape == (3, 7, 1)


@given(SIDES, SIDES, st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_tiles_are_the_whole_squares_of_the_image_at_their_named_places(height, width, size):
    image = ramp(height, width)
    if min(height, width) < size:
        with pytest.raises(TooSmallError, match=f"smaller than a tile of {size}"):
            list(fit(image, "tiles", size, 0))
        return
    tiles = list(fit(image, "tiles", size, 0))
    assert len(tiles) == (height // size) * (width // size)
    for where, part in tiles:
        left, top, w, h = map(int, where.removeprefix("#xywh=").split(","))
        assert (w, h) == (size, size)
        assert np.array_equal(part, image[top : top + size, left : left + size])


def test_resizing_down_averages_instead_of_picking_pixels():
    stripes = np.tile(np.array([0, 255], np.uint8), 32).reshape(1, 64, 1).repeat(64, axis=0)
    assert np.abs(resized(stripes, 8, 8).astype(int) - 127).max() < 12
