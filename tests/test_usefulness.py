"""Claims about usefulness: intervals, arms, fractions and verdicts in words."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from remint.classifier.averaged import Curve
from remint.images.imageset import ImageSet, Record, write
from remint.images.labelled import Labelled, first_of_each_class
from remint.images.withheld import FIELDS
from remint.utility.arms import ARMS
from remint.utility.by_class import class_rows, needed_images
from remint.utility.config import UtilityClassifierConfig, UtilityConfig
from remint.utility.crossed import (
    Estimate,
    class_f1_shares,
    correct,
    crossed_estimate,
    holm,
    macro_f1_shares,
)
from remint.utility.fits import Experiment, fit_all
from remint.utility.gaps import gap_rows
from remint.utility.origins import unfiltered
from remint.utility.outcomes import Outcomes
from remint.utility.study import far_from
from remint.utility.training_sets import (
    Case,
    mixture,
    oversampled,
    repeated,
    training_set,
    uneven,
    weighted_targets,
)
from remint.utility.verdicts import control_rows, decide, shuffled_fell, verdict_rows

UTILITY = UtilityConfig(
    seeds=5, fractions=("all",), synthetic_share=0.5, primary="plain", smallest_gain=1.0,
    confidence=0.95, duplicate_rms=2.0,
    classifier=UtilityClassifierConfig(
        most_steps=60, check_every=10, patience=2, tolerance=0.01, held_out=0.2,
        batch=16, rate=0.01, width=4,
    ),
)  # fmt: skip
CLASSES, SIDE = 3, 12


def bars(count: int, seed: int, noise: float = 100.0) -> Labelled:
    """Bright bars whose height tells the class, in noise."""
    drawn = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = drawn.normal(90, noise, (count, SIDE, SIDE, 1))
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 3] += 60
    ids = tuple(f"{seed}.{number}" for number in range(count))
    return Labelled(np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.int64), ids)


def mislabelled(data: Labelled) -> Labelled:
    return dataclasses.replace(data, labels=(data.labels + 1) % CLASSES)


def outcomes(minted: Labelled | None, workers: int = 1, **more: Any) -> Outcomes:
    test = bars(150, seed=2)
    real = bars(9, seed=1)
    real = dataclasses.replace(real, soft=np.eye(CLASSES, dtype=np.float32)[real.labels])
    cases = (Case("all", real, minted, **more),)
    curve = Curve([], 40, flat=True)
    curves = dict.fromkeys(("plain", "classical", "soft"), curve)
    experiment = Experiment(cases, test.images, CLASSES, UTILITY, 0, "cpu", curves)
    return Outcomes(experiment, list(fit_all(experiment, workers)), test.labels)


def crossed_draws(drawn: np.random.Generator, seeds: int, images: int) -> np.ndarray:
    """Differences of two arms whose true mean is 0, with effects of seeds, of images and of both"""
    effects = drawn.normal(0, 0.02, (seeds, 1)) + drawn.normal(0, 0.2, (1, images))
    return effects + drawn.normal(0, 0.3, (seeds, images))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    drawn = np.random.default_rng(0)
    found = [crossed_estimate(crossed_draws(drawn, 5, 200), 0.9) for _ in range(400)]
    covered = np.mean([e.low <= 0 <= e.high for e in found])
    assert 0.86 <= covered <= 0.96


def test_an_interval_over_seeds_alone_would_promise_too_much() -> None:
    drawn = np.random.default_rng(0)
    tables = [crossed_draws(drawn, 5, 200) for _ in range(400)]
    p_values = [stats.ttest_1samp(table.mean(axis=1), 0.0).pvalue for table in tables]
    assert np.mean(np.array(p_values) >= 0.1) < 0.8


def test_where_only_seeds_matter_the_estimate_is_the_paired_t_test() -> None:
    shares = np.repeat(np.array([[0.1], [0.0], [0.3], [0.2], [0.1]]), 50, axis=1)
    found, expected = crossed_estimate(shares, 0.95), stats.ttest_1samp(shares[:, 0], 0.0)
    interval = expected.confidence_interval(0.95)
    assert np.allclose([found.low, found.high, found.p], [*interval, expected.pvalue])


def test_equal_arms_differ_by_nothing() -> None:
    assert crossed_estimate(np.zeros((5, 30)), 0.95) == Estimate(0.0, 0.0, 0.0, 1.0)


def test_seeds_that_gain_equally_many_images_but_not_the_same_leave_room_for_chance() -> None:
    shares = np.zeros((5, 100))
    shares[np.arange(5), np.arange(5)] = 1.0
    found = crossed_estimate(shares, 0.95)
    assert found.mean == 0.01 and found.low < 0.005 and found.high > 0.015 and found.p > 0.001


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two seeds"):
        crossed_estimate(np.zeros((1, 30)), 0.95)


def test_what_images_add_makes_up_accuracy_and_macro_f1() -> None:
    drawn = np.random.default_rng(3)
    labels, chosen = drawn.integers(0, 4, 200), drawn.integers(0, 5, (3, 200))
    expected = [f1_score(labels, row, labels=range(4), average="macro") for row in chosen]
    assert np.allclose(macro_f1_shares(chosen, labels).mean(axis=1), expected)
    assert np.allclose(correct(chosen, labels).mean(axis=1), (chosen == labels).mean(axis=1))


def test_the_spread_of_macro_f1_is_that_of_resampled_test_images() -> None:
    drawn = np.random.default_rng(4)
    labels = drawn.integers(0, 3, 300)
    chosen = np.where(drawn.random(300) < 0.7, labels, drawn.integers(0, 3, 300))
    resamples = [drawn.integers(0, 300, 300) for _ in range(500)]
    scores = [macro_f1_shares(chosen[None, r], labels[r]).mean() for r in resamples]
    error = macro_f1_shares(chosen[None], labels).std() / np.sqrt(300)
    assert np.isclose(error, np.std(scores), rtol=0.15)


def test_holm_takes_the_steps_of_the_paper() -> None:
    assert np.allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    assert holm([0.5]) == [0.5] and holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


@pytest.mark.parametrize(
    ("gain", "p", "word", "reason"),
    [
        (Estimate(2.0, 1.0, 3.0, 0.001), 0.002, "helps", "large enough"),
        (Estimate(-2.0, -3.0, -1.0, 0.001), 0.002, "hurts", "large enough"),
        (Estimate(2.0, 0.1, 3.9, 0.03), 0.06, "inconclusive", "not told from chance at this"),
        (Estimate(0.5, 0.2, 0.8, 0.001), 0.001, "inconclusive", "below the 1 point"),
        (Estimate(0.1, -0.5, 0.7, 0.6), 0.6, "inconclusive", "it is below 1 point"),
    ],
)
def test_a_verdict_needs_certainty_and_size(
    gain: Estimate, p: float, word: str, reason: str
) -> None:
    found = decide(gain, p, UTILITY)
    assert found.word == word and reason in found.reason


def test_mixed_arms_use_every_image_and_spend_the_budget_as_told() -> None:
    real, minted = bars(9, seed=1), bars(30, seed=5)
    case = Case("all", real, minted, bars(30, seed=6))
    made = {
        name: training_set(arm, case, 0.25, np.random.default_rng(0)) for name, arm in ARMS.items()
    }
    mixed = made["real_synthetic"]
    assert set(mixed.ids) == {*real.ids, *minted.ids}
    assert np.isclose(np.isin(mixed.ids, minted.ids).mean(), 0.25)
    assert len(mixed) == len(made["real_duplicates"]) == len(made["real_shuffled"])
    assert set(made["real_duplicates"].ids) == set(made["real"].ids) == set(real.ids)
    assert set(made["synthetic"].ids) == set(minted.ids)


@pytest.mark.parametrize(
    ("seeds", "passed"),
    [([-2.0, -30.0, -4.0, -5.0, -38.0], True), ([-9.0, 1.0, -9.0, -9.0, -9.0], False)],
)
def test_labels_whose_shuffling_harms_every_seed_are_noticed(
    seeds: list[float], passed: bool
) -> None:
    wide = Estimate(-16.0, -37.0, 5.0, 0.1)
    told, text = shuffled_fell(wide, np.array(seeds), 0.05)
    assert told == passed
    assert ("2.00 and 38.00 in each of 5 seeds" in text) == passed


def test_shuffled_labels_of_too_few_seeds_are_judged_by_the_interval_alone() -> None:
    assert not shuffled_fell(Estimate(-9.0, -20.0, 2.0, 0.1), np.array([-8.0, -10.0]), 0.05)[0]
    assert shuffled_fell(Estimate(-9.0, -10.0, -8.0, 0.0), np.array([-8.0, -10.0]), 0.05)[0]


def test_shuffled_labels_keep_the_images_and_their_classes_counts() -> None:
    minted = bars(30, seed=5)
    case = Case("all", bars(30, seed=1), minted)
    data = training_set(ARMS["real_shuffled"], case, 0.5, np.random.default_rng(0))
    added = np.isin(data.ids, minted.ids)
    truth = dict(zip(minted.ids, minted.labels, strict=True))
    names = [name for name, is_added in zip(data.ids, added, strict=True) if is_added]
    wrong = data.labels[added] != np.array([truth[name] for name in names])
    assert wrong.mean() > 0.4
    assert np.array_equal(np.bincount(data.labels[added]), np.bincount(minted.labels))


def test_unfiltered_images_are_the_first_that_were_minted_as_many_as_were_kept(
    tmp_path: Path,
) -> None:
    kept, refused = bars(9, seed=1), bars(6, seed=2)
    rejected = [
        Record(name, image, "train", "x", int(label), {"attempt": attempt, "filter": "confidence"})
        for name, image, label, attempt in zip(
            refused.ids, refused.images, refused.labels, (0, 1, 7, 2, 0, 8), strict=True
        )
    ]
    write(tmp_path, rejected, metadata={"class_names": list("abc")}, extra_fields=FIELDS)
    raw = unfiltered(kept, ImageSet(tmp_path))
    assert np.bincount(raw.labels).tolist() == [3, 3, 3]
    assert set(raw.ids) - set(kept.ids) == {refused.ids[n] for n in (0, 1, 3, 4)}
    assert set(kept.ids) - set(raw.ids) == {kept.ids[n] for n in (3, 6, 4, 7)}


def test_soft_labels_are_learned_from_by_their_arm_alone() -> None:
    minted = bars(120, seed=7)
    right = np.eye(CLASSES, dtype=np.float32)[minted.labels]
    found = outcomes(dataclasses.replace(mislabelled(minted), soft=right))
    assert found.accuracy(0, "synthetic_soft").mean > 0.6 > found.accuracy(0, "synthetic").mean


def test_real_images_are_cut_to_the_number_of_exported_ones_where_there_are_more() -> None:
    many, few = Case("all", bars(30, 1), bars(12, 2)), Case("all", bars(12, 1), bars(30, 2))
    arm = ARMS["real_as_many"]
    assert len(training_set(arm, many, 0.5, np.random.default_rng(0))) == 12
    assert many.baseline(ARMS["synthetic"]) == "real_as_many"
    assert not few.offers(arm) and few.baseline(ARMS["synthetic"]) == "real"


def test_a_baseline_worse_than_plain_real_images_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcomes(bars(30, seed=7))
    worse = Estimate(4.0, 2.0, 6.0, 0.001)
    monkeypatch.setattr(found, "gain", lambda *names: worse)
    texts = {row["comparison"]: row["text"] for row in verdict_rows(found)}
    assert "The baseline is a weak one" in texts["classical"]
    assert "4.00 points (2.00 to 6.00) worse than real images as they are" in texts["classical"]
    assert "weak" not in texts["plain"]


def test_turns_are_whole_before_any_image_comes_again() -> None:
    counts = np.bincount(repeated(7, 25, np.random.default_rng(0)))
    assert counts.min() == 3 and counts.max() == 4 and counts.sum() == 25
    assert mixture(100, 5000, 0.5) == (5000, 5000)


def test_smaller_fractions_lie_inside_larger_ones() -> None:
    real = bars(60, seed=1)
    small, large = (first_of_each_class(real, count) for count in (3, 12))
    assert set(small.ids) < set(large.ids)
    assert np.bincount(small.labels).tolist() == [3, 3, 3]
    with pytest.raises(ValueError, match="class 0 has 20"):
        first_of_each_class(real, 21)


def test_near_duplicates_leave_the_test_split_but_for_the_first() -> None:
    known, test = bars(20, seed=1), bars(10, seed=2)
    images = test.images.copy()
    images[3] = known.images[7] + (known.images[7] < 255)
    images[8] = images[5]
    kept = far_from(dataclasses.replace(test, images=images), known, 2.0)
    assert kept.tolist() == [0, 1, 2, 4, 5, 6, 7, 9]


def test_many_good_images_help_a_classifier_with_few_real_ones() -> None:
    found = outcomes(bars(120, seed=7))
    plain = next(row for row in verdict_rows(found) if row["primary"])
    assert plain["verdict"] == "helps" and plain["text"].startswith("Helps: added to 9 real")
    assert {row["arm"]: row["gap"] for row in gap_rows(found)}["synthetic"] < 0
    shuffled = next(row for row in control_rows(found) if row["arm"] == "real_shuffled")
    assert shuffled["gain"] < plain["gain"]


def test_images_with_wrong_labels_hurt() -> None:
    rows = verdict_rows(outcomes(mislabelled(bars(120, seed=7))))
    assert next(row for row in rows if row["primary"])["verdict"] == "hurts"


def test_without_a_fair_synthetic_set_a_fraction_is_not_judged() -> None:
    found = outcomes(None)
    assert [row["verdict"] for row in verdict_rows(found)] == ["not judged"]
    assert {row["arm"] for row in found.table()} == {"real", "real_classical", "real_duplicates"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("fractions", (), "at least one"),
        ("fractions", (10, 10), "differ"),
    ],
)
def test_impossible_settings_are_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(UTILITY, **{key: value})


def rare(counts: tuple[int, ...], test: int = 150) -> Outcomes:
    """Classes with so many real images each, the minted ones filling them up."""
    pool, minted = bars(3 * max(counts), seed=1), bars(3 * max(counts), seed=3)
    few = np.concatenate([np.flatnonzero(pool.labels == n)[:c] for n, c in enumerate(counts)])
    fill = [np.flatnonzero(minted.labels == n)[: max(counts) - c] for n, c in enumerate(counts)]
    case = Case("all", pool.take(few), minted.take(np.concatenate(fill)))
    held = bars(test, seed=2)
    curves = dict.fromkeys(("plain", "classical", "soft"), Curve([], 40, flat=True))
    experiment = Experiment((case,), held.images, CLASSES, UTILITY, 0, "cpu", curves)
    return Outcomes(experiment, list(fit_all(experiment, 1)), held.labels)


def test_a_rare_class_is_told_first_and_judged_against_the_best_baseline() -> None:
    found = rare((60, 60, 2))
    rows = class_rows(found, ["a", "b", "c"])
    told = [rows[0][name] for name in ("class", "real_images", "minted_images", "test_images")]
    assert told == ["c", 2, 58, 50]
    assert not found.has(0, "synthetic") and not found.has(0, "real_shuffled")  # of one class
    assert found.gain_recall(0, "real_synthetic", "real", 2).low > 50  # most of it costs nothing
    assert 10 < rows[0]["gain_recall"] < 30
    offered = ("real", "real_oversampled", "real_weighted")
    recalls = {name: found.recall(0, name, 2).mean for name in offered}
    assert rows[0]["recall_baseline"] == max(recalls.values())
    assert {name: rows[0][f"recall_{name}"] for name in offered} == recalls
    assert rows[0]["gain_recall"] == pytest.approx(
        100 * (rows[0]["recall"] - rows[0]["recall_baseline"])
    )


def test_soft_labels_are_learned_as_long_as_the_longest_lesson() -> None:
    for plain, classical in ((40, 90), (90, 40)):
        curves = {"plain": Curve([], plain, True), "classical": Curve([], classical, True)}
        made = dataclasses.replace(outcomes(bars(9, seed=3)).experiment, curves=curves)
        assert made.steps(ARMS["synthetic_soft"]) == 90
        assert made.steps(ARMS["synthetic"]) == plain


def test_even_classes_get_no_arms_of_imbalance() -> None:
    assert not uneven(np.array([0, 0, 1])) and uneven(np.array([0, 0, 0, 1]))
    assert not outcomes(bars(9, seed=3)).has(0, "real_oversampled")
    assert rare((9, 9, 3)).has(0, "real_weighted")


def test_a_class_of_three_test_images_cannot_be_judged_and_the_number_needed_is_said() -> None:
    row = class_rows(rare((9, 9, 3), test=9), ["a", "b", "c"])[0]
    assert row["verdict"] == "not judged" and "recall" not in row
    assert "cannot be judged: 3 test images, needed 7" in row["text"]


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_the_number_needed_is_the_first_at_which_a_sign_test_could_pass_holm(classes: int) -> None:
    needed = needed_images(classes, 0.95)

    def p_at_best(images: int) -> float:
        return classes * 2 / math.pow(2, images)

    assert p_at_best(needed) < 0.05 <= p_at_best(needed - 1)


def test_weights_and_turns_make_every_class_count_as_much() -> None:
    labels = np.array([0] * 6 + [2] * 2)
    targets = weighted_targets(labels, 4)
    assert np.allclose(targets.sum(axis=0), [4, 0, 4, 0])
    assert (targets.argmax(axis=1) == labels).all()
    drawn = labels[oversampled(labels, np.random.default_rng(0))]
    assert np.array_equal(np.bincount(drawn), [6, 0, 6])


def test_shares_of_a_classs_f1_have_it_as_their_mean() -> None:
    drawn = np.random.default_rng(0)
    labels, named = drawn.integers(0, 3, 90), drawn.integers(0, 3, (2, 90))
    shares = class_f1_shares(named, labels, 1)
    expected = [f1_score(labels == 1, row == 1) for row in named]
    assert np.allclose(shares.mean(axis=1), expected)
