"""Verdicts in words: helps, hurts or inconclusive, by rules that were fixed before looking."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from remint.utility.arms import ARMS, COMPARISONS
from remint.utility.config import UtilityConfig
from remint.utility.crossed import Estimate, holm
from remint.utility.outcomes import Outcomes

Word = Literal["helps", "hurts", "inconclusive"]


@dataclass(frozen=True)
class Decision:
    """word: the verdict; reason: the rule that decided it, as half a sentence."""

    word: Word
    reason: str


def decide(gain: Estimate, p_holm: float, config: UtilityConfig) -> Decision:
    """Judge a gain in percentage points.

    It helps, or hurts, when it is told from zero (p after Holm below 1 - confidence) and at least
    as large as the smallest interesting difference. All else is inconclusive, and the reason says
    whether the change is certain but small, bounded by the smallest difference, or unknown.
    """
    smallest, certain = points(config.smallest_gain), p_holm < 1 - config.confidence
    if certain and abs(gain.mean) >= config.smallest_gain:
        return Decision("helps" if gain.mean > 0 else "hurts", "told from chance and large enough")
    if certain:
        return Decision("inconclusive", f"told from chance, but below the {smallest} that count")
    if max(abs(gain.low), abs(gain.high)) < config.smallest_gain:
        reason = f"not told from chance, and if there is a change it is below {smallest}"
        return Decision("inconclusive", reason)
    return Decision("inconclusive", "not told from chance at this number of images and seeds")


def points(value: float) -> str:
    """Say percentage points: 1 point, 2 points, 0.5 points."""
    return f"{value:g} point" if value == 1 else f"{value:g} points"


def verdict_rows(outcomes: Outcomes) -> list[dict[str, Any]]:
    """Return a verdict for every comparison and fraction, Holm-corrected over the fractions.

    Fractions without a fair synthetic set get a row that says why they are not judged.
    """
    rows = [row for name in COMPARISONS for row in _comparison_rows(outcomes, name)]
    cases = enumerate(outcomes.experiment.cases)
    return rows + [_unfair_row(case.fraction) for n, case in cases if case.minted is None]


def _comparison_rows(outcomes: Outcomes, name: str) -> list[dict[str, Any]]:
    arm, baseline = COMPARISONS[name].arm, COMPARISONS[name].baseline
    cases = [n for n in range(len(outcomes.experiment.cases)) if outcomes.has(n, arm)]
    gains = [outcomes.gain(case, arm, baseline) for case in cases]
    corrected = holm([gain.p for gain in gains])
    tested = zip(cases, gains, corrected, strict=True)
    return [_row(outcomes, name, case, gain, p_holm) for case, gain, p_holm in tested]


def _row(outcomes: Outcomes, name: str, case: int, gain: Estimate, p_holm: float) -> dict[str, Any]:
    config, comparison = outcomes.experiment.utility, COMPARISONS[name]
    decision = decide(gain, p_holm, config)
    return {
        "fraction": outcomes.experiment.cases[case].fraction,
        "comparison": name,
        "primary": name == config.primary,
        "verdict": decision.word,
        "text": _sentence(outcomes, name, case, gain, p_holm, decision),
        "gain": gain.mean,
        "low": gain.low,
        "high": gain.high,
        "gain_macro_f1": outcomes.gain_f1(case, comparison.arm, comparison.baseline).mean,
        "p": gain.p,
        "p_holm": p_holm,
    }


def _sentence(
    outcomes: Outcomes, name: str, case: int, gain: Estimate, p_holm: float, decision: Decision
) -> str:
    """Say it so that it can stand alone on a page."""
    experiment, comparison = outcomes.experiment, COMPARISONS[name]
    data, utility = experiment.cases[case], experiment.utility
    verb = {"helps": "Helps", "hurts": "Hurts", "inconclusive": "Inconclusive"}[decision.word]
    return (
        f"{verb}: added to {len(data.real):,} {comparison.onto}, synthetic images change the "
        f"accuracy by {gain.mean:+.2f} points ({utility.confidence:.0%} interval {gain.low:+.2f} "
        f"to {gain.high:+.2f}, {_p_words(p_holm)}; {utility.seeds} paired seeds, "
        f"{len(experiment.test):,} test images): {decision.reason}."
        f"{_weak_baseline(outcomes, case, name)}"
    )


def _weak_baseline(outcomes: Outcomes, case: int, name: str) -> str:
    """Say where the baseline itself is worse than real images as they are."""
    baseline = COMPARISONS[name].baseline
    if baseline == "real":
        return ""
    cost = outcomes.gain(case, "real", baseline)
    if cost.low <= 0:
        return ""
    return (
        f" The baseline is a weak one: {ARMS[baseline].title} is {cost.mean:.2f} points "
        f"({cost.low:.2f} to {cost.high:.2f}) worse than real images as they are."
    )


def _p_words(p: float) -> str:
    return "p < 0.001 after Holm" if p < 0.001 else f"p = {p:.3f} after Holm"


def _unfair_row(fraction: str) -> dict[str, Any]:
    text = (
        f"Not judged: the generator saw more real images than the fraction of {fraction}, so its "
        "images would bring in what the classifier must not know. Ingest so few (ingest.limit), "
        "train and mint on them, and give both folders (--also CLEAN SYNTHETIC)."
    )
    return {"fraction": fraction, "verdict": "not judged", "text": text, "primary": False}


def control_rows(outcomes: Outcomes) -> list[dict[str, Any]]:
    """Return what the two control arms say of the experiment itself, a row a control and fraction.

    Shuffled labels must fall; duplicates, equal steps given, should change nothing.
    """
    rows = []
    chance = 1 - outcomes.experiment.utility.confidence
    for case, data in enumerate(outcomes.experiment.cases):
        for arm in ("real_shuffled", "real_duplicates"):
            if outcomes.has(case, arm):
                gain = outcomes.gain(case, arm, "real")
                seeds = outcomes.seed_gains(case, arm, "real")
                shuffled = arm == "real_shuffled"
                passed, text = shuffled_fell(gain, seeds, chance) if shuffled else _duplicates(gain)
                facts = {"gain": gain.mean, "low": gain.low, "high": gain.high}
                row = {"fraction": data.fraction, "arm": arm, "passed": passed, "text": text}
                rows.append(row | facts)
    return rows


def shuffled_fell(gain: Estimate, seeds: np.ndarray, chance: float) -> tuple[bool, str]:
    """Say whether wrong labels were noticed: by the interval, or since every seed fell.

    seeds: gain of each. How far they fall differs far more from seed to seed than other gains do,
    so that the interval may hold zero; that all S fall by chance has the probability 2^-S (sign
    test, one-sided: they can only harm).
    """
    if gain.high < 0:
        return True, f"Shuffled labels cost {-gain.mean:.2f} points, as they must."
    if bool((seeds < 0).all()) and 0.5 ** len(seeds) <= chance:
        return True, (
            f"Shuffled labels cost {-gain.mean:.2f} points, as they must: between "
            f"{-seeds.max():.2f} and {-seeds.min():.2f} in each of {len(seeds)} seeds."
        )
    return False, (
        f"Shuffled labels change accuracy by {gain.mean:+.2f} points, which is not told from "
        "zero: this experiment would not notice wrong labels, so its verdicts mean little."
    )


def _duplicates(gain: Estimate) -> tuple[bool, str]:
    if gain.low <= 0 <= gain.high:
        return True, f"Duplicates instead ({gain.mean:+.2f} points) change nothing, as expected."
    return False, (
        f"Duplicates alone change accuracy by {gain.mean:+.2f} points: a gain of that size is no "
        "merit of the synthetic images."
    )
