"""The figures of one restored image: against doing nothing and against a classical method."""

from dataclasses import dataclass

import numpy as np

from remint.metrics.pixels import PairDistance, psnr_ceiling, psnr_score, ssim_score

Figures = dict[str, float]


@dataclass(frozen=True)
class Answer:
    """Images of one test row, uint8 HWC of one shape; mask: uint8 HW, 255 hole, or None."""

    damaged: np.ndarray
    restored: np.ndarray
    target: np.ndarray
    classical: np.ndarray | None
    mask: np.ndarray | None


def figures_of(answer: Answer, kind: str, lpips: PairDistance | None = None) -> Figures:
    """Return all figures of one row by name; NaN where one does not exist.

    gain is psnr - psnr_input; for an untouched image (kind `clean`) both are capped at 40 dB
    first. worse is 1.0 where the gain is negative.
    """
    figures = {
        "psnr_input": psnr_score(answer.damaged, answer.target),
        "psnr": psnr_score(answer.restored, answer.target),
        "ssim_input": ssim_score(answer.damaged, answer.target),
        "ssim": ssim_score(answer.restored, answer.target),
    }
    figures["gain"] = _gain(figures["psnr_input"], figures["psnr"], kind)
    figures["worse"] = float(figures["gain"] < 0)
    figures |= _classical_figures(answer) | _masked_figures(answer)
    if lpips is not None:
        figures["lpips_input"] = lpips(answer.damaged, answer.target)
        figures["lpips"] = lpips(answer.restored, answer.target)
    return figures


def _gain(before: float, after: float, kind: str) -> float:
    ceiling = psnr_ceiling(kind)
    return float(min(after, ceiling) - min(before, ceiling))


def _classical_figures(answer: Answer) -> Figures:
    if answer.classical is None:
        return {"psnr_classical": float("nan"), "ssim_classical": float("nan")}
    return {
        "psnr_classical": psnr_score(answer.classical, answer.target),
        "ssim_classical": ssim_score(answer.classical, answer.target),
    }


def _masked_figures(answer: Answer) -> Figures:
    """PSNR over the lost pixels alone and over the known ones alone."""
    if answer.mask is None:
        return {"psnr_inside": float("nan"), "psnr_outside": float("nan")}
    hole = answer.mask > 0
    return {
        "psnr_inside": psnr_score(answer.restored, answer.target, hole),
        "psnr_outside": psnr_score(answer.restored, answer.target, ~hole),
    }
