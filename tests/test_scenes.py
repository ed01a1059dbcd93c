"""Claims about real pairs: two halves of one scene are told from two scenes, shifts are found."""

import numpy as np
import pytest
from skimage import data

from remint.core.randomness import generator
from remint.corruptions.registry import corrupt
from remint.images.imagefile import ImageFileError
from remint.ingest.dead_leaves import draw_leaves
from remint.ingest.scenes import PairsConfig, correlation, match_of, matched, overlap, toned

CONFIG = PairsConfig(0.25, 2, "quarantine")
SCENES = ("astronaut", "coffee", "chelsea", "rocket", "camera", "coins", "page", "text")


def scene(name: str, height: int = 170, width: int = 192) -> np.ndarray:
    picture = getattr(data, name)()
    picture = picture[:, :, None] if picture.ndim == 2 else picture
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


def faded(picture: np.ndarray) -> np.ndarray:
    """Return a picture whose tones are bent, narrowed and lifted."""
    return (60 + 140 * (picture / 255.0) ** 0.6).astype(np.uint8)


@pytest.mark.parametrize(
    "kind",
    ["gaussian_noise", "defocus", "motion_blur", "jpeg", "fading", "stains", "holes", "old_photo"],
)
def test_a_picture_is_known_again_under_heavy_damage_and_unmoved(kind: str) -> None:
    for name in SCENES:
        clean = scene(name)
        damaged = corrupt(clean, kind, 4, generator(1, "scenes", name)).image
        match = match_of(clean, faded(damaged))
        assert match.correlation > CONFIG.least_correlation and match.distance <= 1, name


def test_two_scenes_are_told_from_one() -> None:
    for first in SCENES:
        for second in SCENES:
            if first != second:
                clean, damaged = (scene(name)[:, :, :1] for name in (first, second))
                with pytest.raises(ImageFileError, match=r"another scene .* \(correlation -?0\.\d"):
                    matched(clean, damaged, CONFIG)


@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-7, 2)])
def test_a_shift_is_found_and_cropped_away_only_where_that_is_asked_for(
    shift: tuple[int, int],
) -> None:
    whole = scene("astronaut", 190, 212)
    down, right = shift
    clean = whole[10:180, 10:202]
    damaged = faded(whole[10 - down : 180 - down, 10 - right : 202 - right])
    assert match_of(clean, damaged).shift == shift
    if shift == (0, 0):
        assert matched(clean, damaged, CONFIG)[1] is clean
        return
    with pytest.raises(ImageFileError, match=f"by {down} px down and {right} px to the right"):
        matched(clean, damaged, CONFIG)
    _, a, b = matched(clean, damaged, PairsConfig(0.25, 2, "crop"))
    assert np.array_equal(faded(a), b)


def test_an_overlap_is_what_both_halves_show() -> None:
    rows, columns = np.mgrid[:20, :30]
    whole = (rows * 100 + columns).astype(np.int32)
    a, b = overlap(whole[2:12, 5:20], whole[4:14, 4:19], (-2, 1))
    assert a.shape == b.shape == (8, 14) and np.array_equal(a, b)


def test_the_tone_curve_is_undone_however_many_spots_there_are() -> None:
    clean = scene("camera")[:, :, 0].astype(np.float32)
    damaged = faded(clean).astype(np.float32)
    damaged[::7] = 255
    error = np.abs(toned(damaged, clean) - clean)
    assert np.median(error) < 4 < np.abs(damaged - clean).mean() / 4


@pytest.mark.parametrize("level", [0, 200])
def test_what_shows_nothing_matches_nothing(level: int) -> None:
    leaves = draw_leaves(40, 0, 0)[:, :, 0].astype(np.float32)
    flat = np.full_like(leaves, level)
    assert correlation(flat, leaves) == correlation(leaves, flat) == 0
    blank = np.full((40, 40, 3), level, np.uint8)
    with pytest.raises(ImageFileError, match="shows next to nothing"):
        matched(blank, blank, CONFIG)
