"""Claims about the rules by which a challenger becomes champion."""

import numpy as np
import pandas as pd
import pytest

from tasks.promotion.rules import GeneratorRule, RestorerRule, judge_generator, judge_restorer

RESTORER = RestorerRule(least_gain=0.0, worst_fall=0.3, resamples=500, confidence=0.95)
GENERATOR = GeneratorRule(least_gain=0.0, coverage_fall=0.03, utility_fall=1.0, confidence=0.95)
FIGURES = {
    "kid_efflite0": 0.010,
    "kid_efflite0_se": 0.001,
    "coverage": 0.85,
    "gain_points": 0.0,
    "copy_identical": 0.0,
    "copy_identical_p": 1.0,
    "copy_suspected_p": 0.9,
    "copy_suspected_share": 0.001,
    "copy_suspected_share_held_out": 0.01,
}


def table(gains: dict[str, float], noise: float = 0.5, images: int = 60) -> pd.DataFrame:
    """Per-image figures around 25 dB: `gains` in dB a kind, with noise that both models share."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "id": f"{image}.{kind}",
            "clean_id": str(image),
            "picture": str(image),
            "kind": kind,
            "severity": 1,
        }
        | {"psnr": 25 + 3 * rng.standard_normal() + gain}
        for image in range(images)
        for kind, gain in gains.items()
    ]
    own = np.random.default_rng(sum(map(ord, str(gains)))).standard_normal(len(rows))
    found = pd.DataFrame(rows)
    found["psnr"] += noise * own
    return found


def test_a_restorer_that_is_better_everywhere_wins() -> None:
    old, new = table({"jpeg": 0.0, "holes": 0.0}), table({"jpeg": 0.5, "holes": 0.4})
    found = judge_restorer(new, old, RESTORER)
    assert found.promoted and found.figures["gain_low"] > 0.2
    assert not judge_restorer(old, new, RESTORER).promoted


def test_an_undamaged_image_counts_up_to_what_nobody_sees() -> None:
    old, new = table({"jpeg": 0.0, "clean": 26.0}), table({"jpeg": 1.0, "clean": 24.0})
    found = judge_restorer(new, old, RESTORER)
    assert found.promoted and found.figures["worst_slice"] == 0.0
    assert not judge_restorer(table({"jpeg": 1.0, "clean": 8.0}), old, RESTORER).promoted


def test_a_gain_that_chance_explains_does_not_win() -> None:
    old, new = table({"jpeg": 0.0}), table({"jpeg": 0.02})
    found = judge_restorer(new, old, RESTORER)
    assert not found.promoted and "missed" in found.reasons[0]


def test_tiles_of_one_picture_count_as_one_picture() -> None:
    old, new = table({"jpeg": 0.0}), table({"jpeg": 0.2})
    sure = judge_restorer(new, old, RESTORER).figures
    shared = old["clean_id"].astype(int).floordiv(20).astype(str)  # 3 pictures of 20 tiles
    shift = shared.map({"0": 1.0, "1": -1.0, "2": 0.0})
    tiled = judge_restorer(new.assign(picture=shared, psnr=new["psnr"] + shift), old, RESTORER)
    assert tiled.figures["gain_low"] < -0.5 < 0.0 < sure["gain_low"]


def test_one_slice_that_falls_too_far_holds_a_restorer_back() -> None:
    old, new = table({"jpeg": 0.0, "holes": 0.0}), table({"jpeg": 3.0, "holes": -0.8})
    found = judge_restorer(new, old, RESTORER)
    assert not found.promoted and "holes 1" in found.reasons[1] and "exceeded" in found.reasons[1]


def test_other_test_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="needed the same pairs"):
        judge_restorer(table({"jpeg": 0.0}), table({"jpeg": 0.0}, images=50), RESTORER)


def test_a_generator_wins_by_more_than_the_errors_of_both() -> None:
    better = {**FIGURES, "kid_efflite0": 0.005}
    assert judge_generator(better, FIGURES, GENERATOR).promoted
    unsure = {**better, "kid_efflite0_se": 0.004}
    assert not judge_generator(unsure, FIGURES, GENERATOR).promoted


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"coverage": 0.80}, "coverage changes by -0.050"),
        ({"gain_points": -1.5}, "a classifier changes by -1.50 points"),
        ({"copy_identical": 2.0, "copy_identical_p": 0.0}, "2 minted images are training images"),
        ({"copy_suspected_p": 0.01, "copy_suspected_share": 0.2}, "20.0% of the minted"),
    ],
)
def test_a_better_kid_does_not_excuse(change: dict[str, float], word: str) -> None:
    found = judge_generator({**FIGURES, "kid_efflite0": 0.001, **change}, FIGURES, GENERATOR)
    assert not found.promoted and any(word in reason for reason in found.reasons)


def test_without_classes_usefulness_is_not_asked_and_that_is_said() -> None:
    unlabelled = {name: value for name, value in FIGURES.items() if name != "gain_points"}
    found = judge_generator({**unlabelled, "kid_efflite0": 0.001}, unlabelled, GENERATOR)
    assert found.promoted and "measured of neither" in found.reasons[-1]
    with pytest.raises(ValueError, match="hold no gain_points"):
        judge_generator(unlabelled, FIGURES, GENERATOR)


def test_as_many_training_images_as_held_out_ones_forbid_nothing() -> None:
    usual = {**FIGURES, "kid_efflite0": 0.001, "copy_identical": 2.0, "copy_identical_p": 0.6}
    assert judge_generator(usual, FIGURES, GENERATOR).promoted


def test_a_missing_figure_is_named() -> None:
    partial = {name: value for name, value in FIGURES.items() if name != "coverage"}
    with pytest.raises(ValueError, match="hold no coverage"):
        judge_generator(partial, FIGURES, GENERATOR)
