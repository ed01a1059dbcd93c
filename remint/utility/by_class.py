"""Class by class: do minted images help a rare one, and is that more than what costs nothing?

Judged against the best of what uneven classes get without any minting: classical augmentation
alone, with every class equally often, and with weighted classes.
"""

import math
from typing import Any

import numpy as np

from remint.utility.arms import ARMS, BALANCED, COMPARISONS
from remint.utility.crossed import Estimate, holm
from remint.utility.outcomes import Outcomes
from remint.utility.verdicts import decide


def needed_images(classes: int, confidence: float) -> int:
    """Return the number of test images below which no class can be told from chance.

    Were all n of them named rightly by one arm and wrongly by the other, the sign test would give
    p = 2 / 2^n, and Holm's correction over the classes multiplies the smallest p by their number.
    """
    return math.floor(math.log2(2 * classes / (1 - confidence))) + 1


def class_rows(outcomes: Outcomes, names: list[str]) -> list[dict[str, Any]]:
    """Return a row a class and fraction with minted images; first those with most of them.

    names: of the classes. Classes with too few test images get a row that says how many it takes.
    """
    arm = COMPARISONS[outcomes.experiment.utility.primary].arm
    cases = [n for n in range(len(outcomes.experiment.cases)) if outcomes.has(n, arm)]
    return [row for case in cases for row in _case_rows(outcomes, case, arm, names)]


def _case_rows(outcomes: Outcomes, case: int, arm: str, names: list[str]) -> list[dict[str, Any]]:
    tested = np.bincount(outcomes.labels, minlength=len(names))
    needed = needed_images(len(names), outcomes.experiment.utility.confidence)
    judged = [label for label in range(len(names)) if tested[label] >= needed]
    best = {label: _best(outcomes, case, label) for label in judged}
    gains = {label: outcomes.gain_recall(case, arm, best[label], label) for label in judged}
    corrected = dict(zip(judged, holm([gain.p for gain in gains.values()]), strict=True))
    rows = []
    for label, name in enumerate(names):
        row = _counts(outcomes, case, label, name) | {"needed_test_images": needed}
        row |= _recalls(outcomes, case, label) if tested[label] else {}
        if label in best:
            estimate = gains[label], corrected[label]
            rows.append(row | _judged(outcomes, case, arm, best[label], label, *estimate, row))
        else:
            rows.append(row | _unjudged(row))
    return sorted(rows, key=lambda row: -row["minted_images"] / max(row["real_images"], 1))


def _recalls(outcomes: Outcomes, case: int, label: int) -> dict[str, float]:
    """Return the recall of the class by every arm that was fitted, whatever is judged."""
    fitted = [name for name in ARMS if outcomes.has(case, name)]
    return {f"recall_{name}": outcomes.recall(case, name, label).mean for name in fitted}


def _best(outcomes: Outcomes, case: int, label: int) -> str:
    """Return the baseline that recalls the class best: a test that favours the baselines."""
    primary = COMPARISONS[outcomes.experiment.utility.primary].baseline
    offered = [name for name in (primary, *BALANCED) if outcomes.has(case, name)]
    return max(offered, key=lambda name: outcomes.recall(case, name, label).mean)


def _counts(outcomes: Outcomes, case: int, label: int, name: str) -> dict[str, Any]:
    data = outcomes.experiment.cases[case]
    assert data.minted is not None
    return {
        "fraction": data.fraction,
        "class": name,
        "real_images": int((data.real.labels == label).sum()),
        "minted_images": int((data.minted.labels == label).sum()),
        "test_images": int((outcomes.labels == label).sum()),
    }


def _judged(
    outcomes: Outcomes,
    case: int,
    arm: str,
    baseline: str,
    label: int,
    gain: Estimate,
    p_holm: float,
    row: dict[str, Any],
) -> dict[str, Any]:
    recalls = [outcomes.recall(case, name, label).mean for name in (baseline, arm)]
    f1 = [float(outcomes.class_f1(case, name, label).mean()) for name in (baseline, arm)]
    gain_f1 = outcomes.gain_class_f1(case, arm, baseline, label)
    decision = decide(gain, p_holm, outcomes.experiment.utility)
    figures = {"baseline": baseline, "recall_baseline": recalls[0], "recall": recalls[1]}
    figures |= {"gain_recall": gain.mean, "low": gain.low, "high": gain.high, "p_holm": p_holm}
    figures |= {"f1_baseline": f1[0], "f1": f1[1], "gain_f1": gain_f1.mean}
    figures |= {"gain_f1_low": gain_f1.low, "gain_f1_high": gain_f1.high}
    text = (
        f"{_what(row)}: recall {recalls[0]:.1%} with {ARMS[baseline].title}, {recalls[1]:.1%} with "
        f"minted images ({gain.mean:+.1f} points, {gain.low:+.1f} to {gain.high:+.1f}): "
        f"{decision.word}, {decision.reason}."
    )
    return {**figures, "verdict": decision.word, "text": text}


def _unjudged(row: dict[str, Any]) -> dict[str, Any]:
    text = (
        f"{_what(row)}: cannot be judged: {row['test_images']} test images, needed "
        f"{row['needed_test_images']}; with fewer, not even a change of every answer could be told "
        "from chance."
    )
    return {"verdict": "not judged", "text": text}


def _what(row: dict[str, Any]) -> str:
    return f"{row['class']} ({row['real_images']:,} real, {row['minted_images']:,} minted images)"
