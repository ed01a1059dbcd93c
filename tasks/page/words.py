"""Figures as words: signs, units, names. Every number on the page goes through here."""

import math
from collections.abc import Mapping
from typing import Any

from remint.core.dotted import dotted

MINUS = "\u2212"
DASH = "\u2013"
THIN = "\u202f"

# Names that are more than their letters.
NAMES = {
    "jpeg": "JPEG",
    "webp": "WebP",
    "double_jpeg": "Double JPEG",
    "salt_and_pepper": "Salt and pepper",
    "gaussian_noise": "Gaussian noise",
    "gaussian_blur": "Gaussian blur",
    "clean": "Left whole",
    "mixed": "Mixed damage",
    "real": "Real damage",
    "val_psnr": "PSNR on validation images, dB (broken: their input)",
    "probe_accuracy": "Held-out accuracy of a classifier taught by minted images alone",
    "probe_gap_points": "Points that real images teach more than minted ones",
    "selection_kid": "KID that snapshots are chosen by",
    "diversity_ratio": "Diversity, of that of real images",
    "copy_share": "Share suspected as copies of training images",
    "overfit_gap": "Sign of D: training less held-out images",
    "real_sign": "Sign of D on real images",
}
TERMS = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "kid": "KID",
    "fd": "FD",
    "efflite0": "EffLite0",
    "inception": "Inception",
}


def words(name: str) -> str:
    """Return an identifier as words: `motion_blur` -> `Motion blur`."""
    if name in NAMES:
        return NAMES[name]
    text = " ".join(TERMS.get(part, part) for part in str(name).split("_")).strip()
    return text[:1].upper() + text[1:]


def number(value: Any, digits: int = 2) -> str:
    """Return a figure with fixed digits and a true minus; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{abs(value):,.{digits}f}"
    return f"{MINUS}{text}" if value < 0 and float(text.replace(",", "")) > 0 else text


def signed(value: Any, digits: int = 2) -> str:
    """Return a figure with its sign, plus too."""
    text = number(value, digits)
    return f"+{text}" if text[:1].isdigit() and float(text.replace(",", "")) > 0 else text


def decibel(value: Any, digits: int = 2) -> str:
    """Return a figure with its unit, dB."""
    return f"{number(value, digits)}{THIN}dB"


def signed_decibel(value: Any, digits: int = 2) -> str:
    """Return a difference with sign and unit."""
    return f"{signed(value, digits)}{THIN}dB"


def share(value: Any, digits: int = 1) -> str:
    """Return a share 0..1 in per cent."""
    return DASH if value is None else f"{number(100 * value, digits)}{THIN}%"


def points(value: Any, digits: int = 2) -> str:
    """Return a difference in percentage points with its sign."""
    return f"{signed(value, digits)} points"


def count(value: Any) -> str:
    """Return a whole number with thousands parted; a dash where there is none."""
    return DASH if value is None else f"{value:,.0f}"


def short(value: float) -> str:
    """Return an axis label: 1200000 -> 1.2M, 0.004 -> 0.004."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{_plain(value / size)}{letter}"
    return _plain(value)


def _plain(value: float) -> str:
    return f"{value:.4g}".replace("-", MINUS)


def listed(names: list[str], most: int = 4) -> str:
    """Return names as a phrase: `a, b and c`, with a count of those beyond `most`."""
    shown = names[:most]
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def flat(values: Mapping[str, Any]) -> dict[str, str]:
    """Return nested mappings as dotted keys and plain text, in their order."""
    return {key: "" if leaf is None else str(leaf) for key, leaf in dotted(values).items()}


FILTERS = {
    "words": words,
    "number": number,
    "signed": signed,
    "decibel": decibel,
    "signed_decibel": signed_decibel,
    "share": share,
    "points": points,
    "count": count,
    "flat": flat,
}
