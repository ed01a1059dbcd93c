"""Claims about pages that were measured as tiles: they are seen whole again."""

import numpy as np
import pandas as pd

from remint.images.fitting import fit
from remint.restorer_evaluation import pages


def tiled(name: str, image: np.ndarray, kind: str = "real") -> list[tuple[str, str, np.ndarray]]:
    return [(f"{name}{where}", kind, tile) for where, tile in fit(image, "tiles", 8, 0)]


def found(
    rows: list[tuple[str, str, np.ndarray]],
    count: int = 9,
    clean: list[tuple[str, str, np.ndarray]] | None = None,
) -> list[pages.Page]:
    frame = pd.DataFrame({"source": [row[0] for row in rows], "kind": [row[1] for row in rows]})
    known = frame if clean is None else pd.DataFrame({"source": [row[0] for row in clean]})
    known = known.drop_duplicates("source").reset_index(drop=True)
    known = known.assign(position=range(len(known)))
    return pages.pages(frame.assign(severity=0), known, count, seed=1)


def no_others(position: int) -> np.ndarray:
    raise AssertionError(position)


def noise(height: int, width: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (height, width, channels), np.uint8)


def test_tiles_of_a_page_lie_where_they_were() -> None:
    image = noise(35, 27)
    rows = [*tiled("other.png", noise(16, 8)), *tiled("a, b.png#longest=35", image)][::-1]
    page = next(page for page in found(rows) if page.name.startswith("a"))
    whole = pages.assembled(page, lambda row: rows[row][2], no_others)
    assert np.array_equal(whole, image[1:33, 1:25]) and page.share == 1


def test_a_tile_that_is_missing_is_grey() -> None:
    rows = tiled("a.png", noise(24, 24, 3))
    (page,) = found(rows[1:])
    whole = pages.assembled(page, lambda row: rows[row + 1][2], no_others)
    assert (whole[:8, :8] == pages.GAP).all() and whole.shape == (24, 24, 3)


def test_tiles_that_no_slice_measured_are_pale_and_at_their_place() -> None:
    image = noise(24, 32)
    rows = tiled("a.png", image)
    measured = [rows[6], rows[9]]
    (page,) = found(measured, clean=rows)
    whole = pages.assembled(page, lambda row: measured[row][2], lambda row: rows[row][2])
    for number, part in enumerate(fit(whole, "tiles", 8, 0)):
        contrast = 1.0 if number in (6, 9) else pages.PALE
        assert np.allclose(part[1], 128 + contrast * (rows[number][2] - 128.0), atol=1)
    assert len(page.others) == 10 and page.share == 2 / 12


def test_pages_of_which_more_was_measured_come_first() -> None:
    parts = [tiled(f"{n}.png", noise(24, 24)) for n in range(6)]
    rows = [row for n, part in enumerate(parts) for row in part[: 9 if n == 4 else 2]]
    first, *rest = found(rows, clean=[row for part in parts for row in part])
    assert first.name == "4.png" and len(rest) == 5


def test_a_page_is_seen_once_damaged_and_what_is_no_tile_not_at_all() -> None:
    image = noise(16, 16)
    kinds = [row for kind in ("blur", "clean", "holes") for row in tiled("a.png", image, kind)]
    rows = [("b.png", "blur", image), *kinds, *tiled("c.png", image, "clean")]
    (page,) = found(rows)
    assert page.name == "a.png" and page.kind in ("blur", "holes") and len(page.places) == 4
    assert found([*rows, *tiled("d.png", image)], count=1) != []


def test_a_tile_that_was_damaged_several_times_alike_counts_once() -> None:
    rows = tiled("a.png", noise(16, 16))
    (page,) = found([*rows, *rows])
    assert list(page.places) == [0, 1, 2, 3] and page.share == 1
    assert not found(rows[:1] * 3)


def test_a_page_of_any_size_is_shrunk_to_what_a_page_can_show() -> None:
    places = {row: divmod(row, 10) for row in range(200)}
    page = pages.Page("a", "real", 0, places, {}, 512)
    whole = pages.assembled(page, lambda row: np.full((512, 512, 1), row, np.uint8), no_others)
    assert max(whole.shape) <= pages.LONGEST and whole[-1, -1, 0] == 199
