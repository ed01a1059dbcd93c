"""Claims about which pictures a report shows, and how."""

import numpy as np
import pandas as pd

from remint.images.sheets import sheet
from remint.restorer_evaluation.galleries import choose, error_map


def per_image(rows: list[tuple[str, str, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["kind", "clean_id", "gain"])
    return frame.assign(id=[f"{i}" for i in range(len(frame))])


def test_galleries_show_new_kinds_and_pictures_before_they_repeat() -> None:
    frame = per_image(
        [("a", "x", 9), ("a", "y", 8), ("b", "x", 7), ("b", "y", 6), ("clean", "z", 0)]
    )
    chosen = choose(frame, 2, seed=0)
    groups = {g: [c.position for c in chosen if c.group == g] for g in ("best", "worst")}
    assert groups == {"best": [0, 3], "worst": [3, 0]}
    assert len(choose(frame, 9, seed=0)) == 16


def test_random_pictures_stay_the_same_when_the_set_grows() -> None:
    rows = [("a", str(i), float(i)) for i in range(40)]
    few, many = per_image(rows[:39]), per_image(rows)
    first, second = (
        [c.position for c in choose(frame, 5, seed=3) if c.group == "random"]
        for frame in (few, many)
    )
    assert len(set(first) & set(second)) >= 4


def test_the_error_picture_is_black_where_nothing_is_wrong() -> None:
    target = np.full((8, 8, 3), 100, np.uint8)
    output = target.copy()
    output[2, 2] += 64
    shown = error_map(output, target).astype(int).sum(axis=2)
    assert shown[2, 2] > 500
    assert shown[0, 0] < 10


def test_a_sheet_holds_pictures_of_any_size_and_colour() -> None:
    rows = [[np.zeros((28, 28, 1), np.uint8), np.zeros((28, 28, 3), np.uint8)]]
    rows.append([np.zeros((200, 90, 3), np.uint8)])
    assert sheet(rows).shape == (112 + 4 + 200 + 4, 2 * (112 + 4), 3)
