"""The rules by which a challenger becomes champion, and the reasons in words.

Both models were measured on the same images. A challenger must win by a margin that its
uncertainty does not explain away, and may not be clearly worse anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import pandas as pd
from annotated_types import Ge, Le, Lt
from scipy.special import ndtri

from remint.core.ranges import Resamples, Weight
from remint.metrics.intervals import bootstrap_mean
from remint.metrics.pixels import psnr_ceiling
from remint.restorer_evaluation.slicing import independent

PAIR = ["id", "clean_id", "picture", "kind", "severity"]

Gain = Annotated[float, Ge(-100), Le(100)]


@dataclass(frozen=True)
class RestorerRule:
    """least_gain: dB that the lower end of the interval must exceed.

    worst_fall: dB that a slice may lose; resamples, confidence: of the paired bootstrap over whole
    pictures, however many tiles and damages there are of each.
    """

    least_gain: Gain
    worst_fall: Weight
    resamples: Resamples
    confidence: Annotated[float, Ge(0.5), Lt(1)]


@dataclass(frozen=True)
class GeneratorRule:
    """least_gain: of the KID, at the lower end of its interval with this confidence.

    coverage_fall, utility_fall (points): what may be lost.
    """

    least_gain: Gain
    coverage_fall: Weight
    utility_fall: Weight
    confidence: Annotated[float, Ge(0.5), Lt(1)]


@dataclass(frozen=True)
class PromoteConfig:
    """The promote section of params.yaml."""

    restorer: RestorerRule
    generator: GeneratorRule


@dataclass(frozen=True)
class Ruling:
    """promoted, with reasons in words and the figures that they rest on."""

    promoted: bool
    reasons: list[str]
    figures: dict[str, float] = field(default_factory=dict)


def judge_restorer(
    challenger: pd.DataFrame, champion: pd.DataFrame, rule: RestorerRule, seed: int = 0
) -> Ruling:
    """Compare two tables of per-image figures (per_image.parquet) of the same test pairs.

    Raises ValueError where the pairs are not the same.
    """
    paired = _paired(challenger, champion)
    ceiling = paired["kind"].map(psnr_ceiling)  # as in the slices and on the page
    gain = paired["psnr_new"].clip(upper=ceiling) - paired["psnr_old"].clip(upper=ceiling)
    interval = bootstrap_mean(
        gain.to_numpy(),
        np.random.default_rng(seed),
        resamples=rule.resamples,
        confidence=rule.confidence,
        clusters=independent(paired),
    )
    slices = gain.groupby([paired["kind"], paired["severity"]]).mean()
    worst, fall = slices.index[int(slices.argmin())], float(slices.min())
    wins, falls = interval.low > rule.least_gain, fall < -rule.worst_fall
    reasons = [
        f"PSNR {interval.mean:+.2f} dB ({interval.low:+.2f} to {interval.high:+.2f}) on "
        f"{len(gain)} test pairs; more than {rule.least_gain:+.2f} was needed at the lower end: "
        f"{'reached' if wins else 'missed'}",
        f"the worst slice, {worst[0]} {worst[1]}, changes by {fall:+.2f} dB; a fall of up to "
        f"{rule.worst_fall:.2f} is allowed: {'exceeded' if falls else 'kept'}",
    ]
    figures = {
        "gain": interval.mean,
        "gain_low": interval.low,
        "gain_high": interval.high,
        "worst_slice": fall,
    }
    return Ruling(bool(wins and not falls), reasons, figures)


def _paired(challenger: pd.DataFrame, champion: pd.DataFrame) -> pd.DataFrame:
    old = champion[["id", "psnr"]]
    both = challenger[[*PAIR, "psnr"]].merge(old, on="id", suffixes=("_new", "_old"))
    if len(both) != len(challenger) or len(both) != len(champion) or both.empty:
        raise ValueError(
            f"promote: found {len(challenger)} and {len(champion)} test pairs of which "
            f"{len(both)} are the same, needed the same pairs for both; measure both again"
        )
    return both


def judge_generator(
    challenger: Mapping[str, float], champion: Mapping[str, float], rule: GeneratorRule
) -> Ruling:
    """Compare the figures of two generators on the same held-out images.

    Needed on both sides: kid_efflite0, kid_efflite0_se, coverage, those of `copies`, and
    gain_points, unless neither side has it, as of images without classes. Raises ValueError, which
    names what is missing.
    """
    usefulness = "gain_points" in challenger or "gain_points" in champion
    needed = ("kid_efflite0", "kid_efflite0_se", "coverage", *(["gain_points"] * usefulness))
    for side in (challenger, champion):
        _require(side, needed)
    gain = champion["kid_efflite0"] - challenger["kid_efflite0"]
    error = float(np.hypot(champion["kid_efflite0_se"], challenger["kid_efflite0_se"]))
    low = gain - float(ndtri(0.5 + rule.confidence / 2)) * error
    coverage = challenger["coverage"] - champion["coverage"]
    checks = {
        f"KID falls by {gain:.4f}, by {low:.4f} at the lower end of its interval; more than "
        f"{rule.least_gain:.4f} was needed": low > rule.least_gain,
        f"coverage changes by {coverage:+.3f}; a fall of up to {rule.coverage_fall} is "
        "allowed": coverage >= -rule.coverage_fall,
    }
    figures = {"kid_gain": gain, "kid_gain_low": low, "coverage": coverage}
    if usefulness:
        figures["utility"] = utility = challenger["gain_points"] - champion["gain_points"]
        checks[
            f"what minted images add to a classifier changes by {utility:+.2f} points; a fall of "
            f"up to {rule.utility_fall} is allowed"
        ] = utility >= -rule.utility_fall
    reasons = [f"{text}: {'kept' if kept else 'missed'}" for text, kept in checks.items()]
    if not usefulness:
        reasons.append("what minted images add to a classifier was measured of neither: not asked")
    copied = copies(challenger)
    kept = all(checks.values()) and copied is None
    return Ruling(bool(kept), reasons + ([copied] if copied else []), figures)


def copies(figures: Mapping[str, float]) -> str | None:
    """Say why the copy check forbids a generator; None where it does not.

    It forbids identical copies, and suspected ones, where real held-out images show fewer
    (p < 0.05).
    """
    _require(figures, ("copy_identical", "copy_identical_p", "copy_suspected_p"))
    if figures["copy_identical"] > 0 and figures["copy_identical_p"] < 0.05:
        return f"{figures['copy_identical']:.0f} minted images are training images: forbidden"
    if figures["copy_suspected_p"] < 0.05:
        return (
            f"{figures['copy_suspected_share']:.1%} of the minted images are suspected copies, "
            f"{figures['copy_suspected_share_held_out']:.1%} of real held-out ones: forbidden"
        )
    return None


def _require(figures: Mapping[str, float], names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in figures]
    if missing:
        raise ValueError(
            f"promote: the reports hold no {', '.join(missing)}; evaluate the generator with "
            "enough images (see the report's notes), then promote"
        )
