"""How often the map of doubt is right, and how wide it is: what calibration promised, tested."""

import numpy as np
import pandas as pd

from remint.restorer.doubt import Doubt, errors_of, most_doubtful

COVERED_QUARTER = "doubt_covered_quarter"
COVERAGE = (COVERED_QUARTER, "doubt_covered", "doubt_levels_quarter", "doubt_levels")


def coverage_of(
    doubt: Doubt, damaged: np.ndarray, restored: np.ndarray, clean: np.ndarray
) -> dict[str, float]:
    """Return COVERAGE of one image: shares of pixels inside their bounds, and mean bounds.

    Images uint8 HWC. `quarter` speaks of the most doubtful quarter of the pixels, the others of
    all; levels are half-widths in levels of 255.
    """
    scales = doubt.scales(damaged, restored)
    bounds, kept = doubt.bounds(scales), most_doubtful(scales)
    inside = errors_of(restored, clean) <= bounds
    values = (inside[kept].mean(), inside.mean(), bounds[kept].mean(), bounds.mean())
    return {name: float(value) for name, value in zip(COVERAGE, values, strict=True)}


def coverage_means(part: pd.DataFrame) -> dict[str, float]:
    """Return the means of COVERAGE over pictures, each the mean over its images; none unmeasured.

    The promise is made so: of pictures, not of their versions.
    """
    if COVERED_QUARTER not in part:
        return {}
    means = part.groupby("picture")[list(COVERAGE)].mean().mean()
    return {name: float(means[name]) for name in COVERAGE}
