"""The usefulness half of evaluate_synthetic's report on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from remint.utility.arms import ALONE, ARMS, COMPARISONS
from remint.utility.by_class import class_rows
from remint.utility.gaps import gap_rows
from remint.utility.outcomes import Outcomes
from remint.utility.verdicts import control_rows, verdict_rows
from tasks.stage import stage

COLUMNS = (
    *("fraction", "real_images", "arm", "images", "training_rows", "steps", "seeds"),
    *("accuracy", "accuracy_low", "accuracy_high", "macro_f1", "macro_f1_low", "macro_f1_high"),
    *("baseline", "gain", "gain_low", "gain_high"),
    *("gain_macro_f1", "gain_macro_f1_low", "gain_macro_f1_high"),
)


CLASS_COLUMNS = (
    *("fraction", "class", "real_images", "minted_images", "test_images", "needed_test_images"),
    *("verdict", "baseline", "recall_baseline", "recall", "gain_recall", "low", "high", "p_holm"),
    *("f1_baseline", "f1", "gain_f1", "gain_f1_low", "gain_f1_high"),
    *(f"recall_{arm}" for arm in ARMS),
)


def utility_facts(outcomes: Outcomes, notes: list[str], names: list[str]) -> dict[str, Any]:
    """Return what utility.json holds: arms, verdicts, also by class, controls, gaps and notes."""
    return {
        "notes": notes,
        "arms": outcomes.table(),
        "verdicts": verdict_rows(outcomes),
        "controls": control_rows(outcomes),
        "gaps": gap_rows(outcomes),
        "classes": class_rows(outcomes, names),
    }


def utility_metrics(outcomes: Outcomes) -> dict[str, float]:
    """Return the figures of the largest fraction that was judged, small and flat."""
    experiment = outcomes.experiment
    added = COMPARISONS[experiment.utility.primary].arm
    judged = [n for n in range(len(experiment.cases)) if outcomes.has(n, added)]
    if not judged:
        return {}
    case = max(judged, key=lambda n: len(experiment.cases[n].real))
    fraction, primary = experiment.cases[case].fraction, experiment.utility.primary
    rows = {row["arm"]: row for row in outcomes.table() if row["fraction"] == fraction}
    verdicts = [row for row in verdict_rows(outcomes) if row["fraction"] == fraction]
    gain = next(row for row in verdicts if row["comparison"] == primary)
    figures = {f"accuracy_{name}": rows[name]["accuracy"] for name in ("real", "real_classical")}
    figures |= {
        f"accuracy_{name}": rows[name]["accuracy"]
        for name in ("real_as_many", "real_as_many_soft")
        if name in rows
    }
    figures |= {f"macro_f1_{name}": rows[name]["macro_f1"] for name in ("real", "real_classical")}
    if "synthetic" in rows:
        figures["macro_f1_synthetic_only"] = rows["synthetic"]["macro_f1"]
    for arm in (name for name in ALONE if name in rows):
        kind = arm.removeprefix("synthetic").removeprefix("_")
        figures["_".join(filter(None, ("accuracy_synthetic_only", kind)))] = rows[arm]["accuracy"]
        figures["_".join(filter(None, ("cas_gap", kind, "points")))] = -rows[arm]["gain"]
    figures |= {"gain_points": gain["gain"], "gain_low": gain["low"], "gain_high": gain["high"]}
    figures |= {"gain_p_holm": gain["p_holm"], "gain_macro_f1_points": gain["gain_macro_f1"]}
    for name, comparison in COMPARISONS.items():
        figures[f"gain_{name}_points"] = rows[comparison.arm]["gain"]
    for name, arm in (("shuffled_labels", "real_shuffled"), ("duplicates", "real_duplicates")):
        if arm in rows:
            figures[f"{name}_points"] = rows[arm]["gain"]
    counts = {"seeds": experiment.utility.seeds, "test_images": len(experiment.test)}
    return figures | {name: float(value) for name, value in counts.items()}


def write_utility(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write utility.json, utility.csv, the table of arms that DVC plots, and by_class.csv."""
    stage.write_json(folder / "utility.json", facts)
    for name, rows, columns in (
        ("utility", facts["arms"], COLUMNS),
        ("by_class", facts["classes"], CLASS_COLUMNS),
    ):
        table = pd.DataFrame(rows, columns=list(columns))
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6f")
