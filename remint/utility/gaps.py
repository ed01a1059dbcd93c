"""How far minted images alone fall short of real ones: raw, filtered, and with soft labels.

Gaps of classification accuracy scores (Ravuri & Vinyals, arXiv 1905.10887); only the raw one
compares with theirs. Filtered images are chosen by a classifier of real ones, soft labels are that
classifier's own knowledge (distillation), so real images get the same labels beside them.
"""

from typing import Any

from remint.utility.arms import ALONE, ARMS
from remint.utility.crossed import Estimate
from remint.utility.outcomes import Outcomes

WHAT = {
    "synthetic_raw": "minted images alone, unfiltered,",
    "synthetic": "exported, filtered images alone",
    "synthetic_soft": "exported images alone, with soft labels,",
}


def gap_rows(outcomes: Outcomes) -> list[dict[str, Any]]:
    """Return, for each fraction and kind of minted images alone, real minus minted, in points."""
    cases = range(len(outcomes.experiment.cases))
    return [_row(outcomes, n, arm) for n in cases for arm in ALONE if outcomes.has(n, arm)]


def _row(outcomes: Outcomes, number: int, arm: str) -> dict[str, Any]:
    case = outcomes.experiment.cases[number]
    baseline = case.baseline(ARMS[arm])
    assert baseline is not None
    gap = outcomes.gain(number, baseline, arm)
    facts = {"fraction": case.fraction, "arm": arm, "images": outcomes.images(number, arm)}
    return {
        **facts,
        "gap": gap.mean,
        "low": gap.low,
        "high": gap.high,
        "text": _sentence(outcomes, number, arm, baseline, gap),
    }


def _sentence(outcomes: Outcomes, case: int, arm: str, baseline: str, gap: Estimate) -> str:
    alone, real = (outcomes.accuracy(case, name).mean for name in (arm, baseline))
    counts = [f"{outcomes.images(case, name):,}" for name in (arm, baseline)]
    text = (
        f"Trained on {counts[0]} {WHAT[arm]} the classifier names {alone:.1%} of real test images, "
        f"on {counts[1]} real ones {real:.1%}: a gap of {gap.mean:.2f} points ({gap.low:.2f} to "
        f"{gap.high:.2f})."
    )
    return text if arm != "synthetic_soft" else f"Distillation: {text}{_taught(outcomes, case)}"


def _taught(outcomes: Outcomes, case: int) -> str:
    """Say what real images give with the labels of the same classifier."""
    if not outcomes.has(case, "real_as_many_soft"):
        return ""
    taught = outcomes.accuracy(case, "real_as_many_soft").mean
    gap = outcomes.gain(case, "real_as_many_soft", "synthetic_soft")
    return (
        f" With the same soft labels those real images reach {taught:.1%}: a gap of "
        f"{gap.mean:.2f} points ({gap.low:.2f} to {gap.high:.2f}) that the images leave."
    )
