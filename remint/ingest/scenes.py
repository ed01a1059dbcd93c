"""Whether the two halves of a real pair show one scene, and how far one lies from the other.

The shift is where phase correlation is highest (Kuglin & Hines 1975). Then the damaged half's tones
are fitted to the clean one's, and what both hold of detail is correlated: of middling size, since
the largest forms of any two pages are alike and the smallest are what damage takes away.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
from annotated_types import Ge, Le

from remint.core.ranges import Share
from remint.images.imagefile import ImageFileError, to_channels

Shift = tuple[int, int]  # px down and to the right that the damaged half lies from the clean one
WINDOW = 1024  # px, side of the middle part that the shift is looked for in
REACH = 0.05  # of the smaller side: the largest shift looked for
SIDE = 256  # px, longer side of what is correlated
DETAIL = 16  # details as large as this part of the longer side, and larger, count for nothing
TONES = 24  # points of the tone curve
FLAT = 1.0  # levels: details weaker than this are none
CLIP = 3.0  # deviations beyond which a detail counts no more


@dataclass(frozen=True)
class PairsConfig:
    """What is asked of real pairs.

    least_correlation: 0..1 of the halves' details, below which they show two scenes (0: not looked
    at); largest_shift: px up to which a pair is kept as it is; further: "quarantine", or "crop"
    both halves to what they share.
    """

    least_correlation: Share
    largest_shift: Annotated[int, Ge(0), Le(1000)]
    further: Literal["quarantine", "crop"]


@dataclass(frozen=True)
class Match:
    """correlation: -1..1, of the registered halves; shift: of the damaged half."""

    correlation: float
    shift: Shift

    @property
    def distance(self) -> float:
        """Length of the shift, px."""
        return float(np.hypot(*self.shift))


def matched(
    clean: np.ndarray, damaged: np.ndarray, config: PairsConfig
) -> tuple[Match, np.ndarray, np.ndarray]:
    """Return how two uint8 HWC halves of one size match, and the halves as they are to be used.

    Raises ImageFileError, with the figure, for halves that do not belong together.
    """
    if _is_flat(_reduced(_grey(clean))):
        raise ImageFileError(
            "shows next to nothing, so that its damaged half can't be told from another's; take "
            "the pair away, or set ingest.pairs.least_correlation to 0"
        )
    match = match_of(clean, damaged)
    if match.correlation < config.least_correlation:
        raise ImageFileError(
            f"shows another scene than its damaged half (correlation {match.correlation:.2f} after "
            f"registration and tone fit, needed {config.least_correlation:g}); pair it with the "
            "right file, or lower ingest.pairs.least_correlation"
        )
    if match.distance <= config.largest_shift:
        return match, clean, damaged
    if config.further == "crop":
        return match, *overlap(clean, damaged, match.shift)
    down, right = match.shift
    raise ImageFileError(
        f"lies apart from its damaged half, which is shifted by {down} px down and {right} px to "
        f"the right (correlation {match.correlation:.2f} once registered); register them, or set "
        "ingest.pairs.further: crop"
    )


def match_of(clean: np.ndarray, damaged: np.ndarray) -> Match:
    """Return shift and correlation of uint8 HWC halves of one size; no shift where it adds none."""
    grey_clean, grey_damaged = (_grey(image) for image in (clean, damaged))
    shift = shift_of(grey_clean, grey_damaged)
    still = correlation(grey_clean, grey_damaged)
    if shift == (0, 0):
        return Match(still, shift)
    moved = correlation(*overlap(grey_clean, grey_damaged, shift))
    return Match(moved, shift) if moved > still else Match(still, (0, 0))


def overlap(clean: np.ndarray, damaged: np.ndarray, shift: Shift) -> tuple[np.ndarray, np.ndarray]:
    """Return what both halves show, once the damaged one's shift is undone: no pixel is changed."""
    height, width = clean.shape[:2]
    (a, b), (c, d) = (_common(*pair) for pair in zip((height, width), shift, strict=True))
    return clean[a, c], damaged[b, d]


def _common(length: int, shift: int) -> tuple[slice, slice]:
    """Return where the shared part lies along one side: in the clean half, and in the damaged."""
    return (
        slice(max(0, -shift), length - max(0, shift)),
        slice(max(0, shift), length - max(0, -shift)),
    )


def shift_of(clean: np.ndarray, damaged: np.ndarray) -> Shift:
    """Return the shift of float32 HW halves of one size, in whole px, by phase correlation."""
    first, second = (_middle(image) for image in (clean, damaged))
    height, width = first.shape
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    spectra = [np.fft.rfft2((part - part.mean()) * window) for part in (first, second)]
    cross = spectra[1] * spectra[0].conj()
    sharp = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-9), (height, width))
    phases = cv2.GaussianBlur(np.fft.fftshift(sharp).astype(np.float32), (0, 0), 1.0)
    middle, reach = (height // 2, width // 2), max(1, int(REACH * min(clean.shape)))
    near = phases[
        max(0, middle[0] - reach) : middle[0] + reach + 1,
        max(0, middle[1] - reach) : middle[1] + reach + 1,
    ]
    peak = np.unravel_index(int(near.argmax()), near.shape)
    down, right = (int(at) - min(reach, half) for at, half in zip(peak, middle, strict=True))
    return down, right


def correlation(clean: np.ndarray, damaged: np.ndarray) -> float:
    """Return Pearson's correlation, -1..1, of the details of float32 HW halves after a tone fit.

    0 where the clean one has next to no detail.
    """
    first, second = (_reduced(image) for image in (clean, damaged))
    if _is_flat(first):
        return 0.0
    a, b = _clipped(_detail(first)), _clipped(_detail(toned(second, first)))
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 1e-6 else 0.0


def toned(damaged: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return the damaged half under the rising tone curve that brings it nearest to the clean one.

    The curve goes through medians of the clean half over equally filled ranges of the damaged
    one's tones, so that spots and scratches do not bend it.
    """
    from sklearn.isotonic import IsotonicRegression  # a second, which few ingests need

    edges = np.unique(np.quantile(damaged, np.linspace(0, 1, TONES + 1)))
    bins = np.clip(np.searchsorted(edges, damaged, side="right") - 1, 0, max(0, len(edges) - 2))
    members = [bins == number for number in range(max(1, len(edges) - 1))]
    members = [chosen for chosen in members if chosen.any()]
    centres = [float(np.median(damaged[chosen])) for chosen in members]
    targets = [float(np.median(clean[chosen])) for chosen in members]
    weights = [int(chosen.sum()) for chosen in members]
    curve = IsotonicRegression(out_of_bounds="clip").fit(centres, targets, weights)
    return curve.predict(damaged.ravel()).reshape(damaged.shape).astype(np.float32)


def _detail(image: np.ndarray) -> np.ndarray:
    """Return what a wide blur takes away and a narrow one leaves."""
    smooth = cv2.GaussianBlur(image, (0, 0), max(1.5, max(image.shape) / DETAIL))
    return cv2.GaussianBlur(image, (0, 0), 1.0) - smooth


def _is_flat(image: np.ndarray) -> bool:
    return float(_detail(image).std()) < FLAT


def _clipped(detail: np.ndarray) -> np.ndarray:
    spread = float(detail.std())
    return np.clip(detail, -CLIP * spread, CLIP * spread)


def _grey(image: np.ndarray) -> np.ndarray:
    return to_channels(image, 1)[:, :, 0].astype(np.float32)


def _middle(image: np.ndarray) -> np.ndarray:
    top, left = (max(0, (side - WINDOW) // 2) for side in image.shape)
    return image[top : top + WINDOW, left : left + WINDOW]


def _reduced(image: np.ndarray) -> np.ndarray:
    longest = max(image.shape)
    if longest <= SIDE:
        return image
    height, width = (max(1, round(side * SIDE / longest)) for side in image.shape)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
