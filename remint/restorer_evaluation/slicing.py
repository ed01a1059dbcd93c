"""From figures of single images to rows of slices (kind x severity) and to one small summary."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from remint.core.randomness import generator
from remint.metrics.intervals import Interval, bootstrap_mean
from remint.metrics.pixels import CLEAN, PSNR_CAP, psnr_ceiling
from remint.restorer.ensemble import PASSES
from remint.restorer_evaluation.classical import TunedMethod
from remint.restorer_evaluation.coverage import coverage_means
from remint.restorer_evaluation.evaluation import EvaluateRestorerConfig, Slice

MEANS = (
    "psnr_input",
    "psnr",
    "psnr_classical",
    "ssim_input",
    "ssim",
    "ssim_classical",
    "psnr_inside",
    "psnr_outside",
    "lpips_input",
    "lpips",
)
# Above this the input is nearly the target: slices below it are the ones a restorer must improve.
DAMAGED_BELOW = 30.0


def slice_rows(
    frame: pd.DataFrame, tuned: Mapping[Slice, TunedMethod], config: EvaluateRestorerConfig
) -> list[dict[str, Any]]:
    """Return one row a slice, in order of kind and severity; figures that do not exist are absent.

    frame: one row an image, as `remint.restorer_evaluation.evaluation.evaluate` yields them.
    """
    rows = []
    for key, part in frame.groupby(["kind", "severity"], sort=True):
        kind, severity = slice_of(key)
        row: dict[str, Any] = {"kind": kind, "severity": severity, "images": len(part)}
        row |= _means(compared(part, kind)) | _gain(part, f"{kind}.{severity}", config)
        row |= _counts(part) | coverage_means(part)
        if (kind, severity) in tuned:
            row |= _against_classical(part, tuned[kind, severity])
        rows.append(row)
    return rows


def _against_classical(part: pd.DataFrame, tuned: TunedMethod) -> dict[str, Any]:
    """Name the method; above_classical_share counts images, so no single one decides it."""
    return {
        "classical_method": tuned.method.name,
        "classical_strength": tuned.strength,
        "above_classical_share": float((part["psnr"] > part["psnr_classical"]).mean()),
    }


def slice_of(key: Any) -> Slice:
    """Return a group's key as (kind, severity)."""
    kind, severity = key
    return str(kind), int(severity)


def summary(
    frame: pd.DataFrame, rows: list[dict[str, Any]], config: EvaluateRestorerConfig
) -> dict[str, float]:
    """Return the figures of metrics.json: means over all damaged images, and the clean slice.

    pictures: that the images are damaged versions or tiles of. self_ensemble stands among them
    where the restored images are means over so many passes.
    """
    damaged, clean = frame[frame["kind"] != CLEAN], frame[frame["kind"] == CLEAN]
    figures: dict[str, float] = {"images": len(frame), "pictures": frame["picture"].nunique()}
    figures |= {"self_ensemble": PASSES} if config.ensemble else {}
    figures |= coverage_means(frame)
    if len(damaged):
        means = _means(damaged)
        figures |= {k: means[k] for k in MEANS if k in means and k != "ssim_classical"}
        figures |= {f"psnr_{k}": v for k, v in _gain(damaged, "all", config).items()}
        figures["worse_share"] = float(damaged["worse"].mean())
        figures |= _shares(rows)
    if len(clean):
        figures["clean_psnr_capped40"] = float(compared(clean, CLEAN)["psnr"].mean())
    return figures


def _means(part: pd.DataFrame) -> dict[str, float]:
    """Mean of every figure over the images that have it; absent where none has."""
    means = {name: part[name].mean() for name in MEANS if name in part}
    return {name: float(value) for name, value in means.items() if np.isfinite(value)}


def _gain(part: pd.DataFrame, name: str, config: EvaluateRestorerConfig) -> dict[str, float]:
    interval: Interval = bootstrap_mean(
        part["gain"].to_numpy(),
        generator(config.seed, "evaluate", name),
        resamples=config.resamples,
        confidence=config.confidence,
        clusters=independent(part),
    )
    return {"gain": interval.mean, "gain_low": interval.low, "gain_high": interval.high}


def independent(part: pd.DataFrame) -> np.ndarray:
    """Return labels of what was drawn independently: pictures; of one alone, its tiles."""
    return part["picture" if part["picture"].nunique() > 1 else "clean_id"].to_numpy()


def _counts(part: pd.DataFrame) -> dict[str, float]:
    """Share made worse; images identical to their target, whose PSNR stands at the cap."""
    return {
        "worse_share": float(part["worse"].mean()),
        "identical_inputs": int((part["psnr_input"] >= PSNR_CAP).sum()),
        "identical": int((part["psnr"] >= PSNR_CAP).sum()),
    }


def compared(part: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the images of a slice with both PSNRs up to the ceiling of their gain."""
    named = [name for name in ("psnr_input", "psnr") if name in part]
    return part.assign(**{name: part[name].clip(upper=psnr_ceiling(kind)) for name in named})


def _shares(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Share of badly damaged slices that gain, and of slices that beat their classical row."""
    bad = [row for row in rows if row["kind"] != CLEAN and row["psnr_input"] < DAMAGED_BELOW]
    rivals = [row for row in rows if "psnr_classical" in row]
    shares = {}
    if bad:
        shares["improved_slices_below_30db_share"] = float(
            np.mean([row["gain"] > 0 for row in bad])
        )
    if rivals:
        better = [row["psnr"] > row["psnr_classical"] for row in rivals]
        shares["above_classical_slices_share"] = float(np.mean(better))
    return shares
