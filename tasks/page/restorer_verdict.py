"""The verdict in plain words: what the restorer does for damaged images and to whole ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.page.words import (
    DASH,
    count,
    decibel,
    listed,
    number,
    share,
    signed,
    signed_decibel,
    words,
)

CLEAN = "clean"
CEILING = 40.0  # dB: above it nobody sees a difference, so whole images are compared up to it
WORTH_SEEING = 1.0  # dB of mean gain below which nobody would call it a repair
WHOLE_LOSS = 0.5  # dB below the ceiling up to which whole images count as left whole

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Tile:
    """One figure to be seen at once; good: True, False, or None where it is neither."""

    figure: str
    label: str
    detail: str
    good: bool | None


@dataclass(frozen=True)
class Verdict:
    """headline: the outcome in a sentence; sentences: what else must be known; tiles: figures."""

    headline: str
    sentences: list[str]
    tiles: list[Tile]


def verdict(metrics: Mapping[str, float], slices: Sequence[Row]) -> Verdict:
    """Say what the figures of a restorer's evaluation mean; what is absent is not spoken of."""
    damaged = [row for row in slices if row["kind"] != CLEAN]
    rivals = [row for row in damaged if "psnr_classical" in row]
    parts = [_gain_words(metrics), _rival_words(rivals), _whole_words(metrics)]
    sentences = [_one_picture(metrics), _ensemble_sentence(metrics)]
    sentences += [_range_sentence(metrics, damaged)]
    sentences += _loser_sentences(damaged, rivals)
    tiles = [_gain_tile(metrics), _rival_tile(rivals), _whole_tile(metrics), _worse_tile(metrics)]
    return Verdict(
        headline="; ".join(part for part in parts if part) + ".",
        sentences=[sentence for sentence in sentences if sentence],
        tiles=[tile for tile in tiles if tile is not None],
    )


def wins(rivals: Sequence[Row]) -> list[Row]:
    """Return the slices in which the restorer is better than its classical rival."""
    return [row for row in rivals if row["psnr"] > row["psnr_classical"]]


def slice_name(row: Row) -> str:
    """Name a slice: `Gaussian noise 3`; without a number where there is only one strength."""
    return words(row["kind"]) + (f" {row['severity']}" if row["severity"] else "")


def _gain_words(metrics: Mapping[str, float]) -> str:
    if "psnr_gain" not in metrics:
        return "Remint has met no damaged test image"
    gain, low = metrics["psnr_gain"], metrics.get("psnr_gain_low", metrics["psnr_gain"])
    high = metrics.get("psnr_gain_high", gain)
    by = f"by {signed_decibel(gain)} on average"
    if low > 0:
        verb = "repairs" if gain >= WORTH_SEEING else "barely improves"
        return f"Remint {verb} the damaged test images {by}"
    if high < 0:
        return f"Remint makes the damaged test images worse, {by}"
    return f"Remint changes the damaged test images {by}, which may be chance"


def _rival_words(rivals: Sequence[Row]) -> str:
    if not rivals:
        return ""
    won = len(wins(rivals))
    few = "only " if 2 * won < len(rivals) else ""
    return f"it beats the classical filter in {few}{won} of {len(rivals)} slices"


def _whole_words(metrics: Mapping[str, float]) -> str:
    if "clean_psnr_capped40" not in metrics:
        return ""
    score = metrics["clean_psnr_capped40"]
    verb = "leaves whole images whole" if CEILING - score < WHOLE_LOSS else "harms whole images"
    return f"it {verb}: {decibel(score)} of {decibel(CEILING, 0)}"


def _one_picture(metrics: Mapping[str, float]) -> str:
    if metrics.get("pictures") != 1 or metrics["images"] == 1:
        return ""
    return (
        f"All {count(metrics['images'])} test images are of one picture, which is no test set: "
        "figures and intervals say nothing of other pictures."
    )


def _ensemble_sentence(metrics: Mapping[str, float]) -> str:
    if "self_ensemble" not in metrics:
        return ""
    passes = count(metrics["self_ensemble"])
    return f"All figures are of the x{passes} self-ensemble, which takes {passes} times as long."


def _range_sentence(metrics: Mapping[str, float], damaged: Sequence[Row]) -> str:
    if not damaged or "psnr" not in metrics:
        return ""
    images = sum(row["images"] for row in damaged)
    return (
        f"Mean PSNR rises from {decibel(metrics['psnr_input'])} to {decibel(metrics['psnr'])}"
        if metrics["psnr"] >= metrics["psnr_input"]
        else f"Mean PSNR falls from {decibel(metrics['psnr_input'])} to {decibel(metrics['psnr'])}"
    ) + f" over {count(images)} damaged images in {len(damaged)} slices (kind and strength)."


def _loser_sentences(damaged: Sequence[Row], rivals: Sequence[Row]) -> list[str]:
    """Name the slices that got worse, those in doubt, and those lost to the classical filter."""
    worse = [slice_name(row) for row in damaged if row["gain_high"] < 0]
    doubt = [slice_name(row) for row in damaged if row["gain_low"] <= 0 <= row["gain_high"]]
    won = wins(rivals)
    lost = [slice_name(row) for row in rivals if row not in won]
    split = [slice_name(r) for r in won if r.get("ssim", 1.0) < r.get("ssim_classical", -1.0)]
    groups = [
        (worse, "It makes worse"),
        (doubt, "No clear gain in"),
        (lost, "The classical filter is as good or better in"),
        (split, "Above the classical filter by PSNR, but below it by SSIM"),
    ]
    return [f"{start}: {listed(names, 6)}." for names, start in groups if names]


def _gain_tile(metrics: Mapping[str, float]) -> Tile | None:
    if "psnr_gain" not in metrics:
        return None
    gain = metrics["psnr_gain"]
    low, high = metrics.get("psnr_gain_low"), metrics.get("psnr_gain_high")
    detail = f"interval {signed(low)} to {signed(high)}" if low is not None else ""
    good = None if low is None or high is None or low <= 0 <= high else gain > 0
    return Tile(signed_decibel(gain), "gain over doing nothing", detail, good)


def _rival_tile(rivals: Sequence[Row]) -> Tile | None:
    if not rivals:
        return None
    won = len(wins(rivals))
    ahead = sum(row["psnr"] - row["psnr_classical"] for row in rivals) / len(rivals)
    detail = f"{signed_decibel(ahead)} on average"
    return Tile(f"{won} of {len(rivals)}", "slices above the classical filter", detail, ahead > 0)


def _whole_tile(metrics: Mapping[str, float]) -> Tile | None:
    if "clean_psnr_capped40" not in metrics:
        return None
    loss = CEILING - metrics["clean_psnr_capped40"]
    return Tile(
        decibel(metrics["clean_psnr_capped40"]),
        "on images that were whole",
        f"{number(loss)} below the ceiling of {decibel(CEILING, 0)}",
        loss < WHOLE_LOSS,
    )


def _worse_tile(metrics: Mapping[str, float]) -> Tile | None:
    if "worse_share" not in metrics:
        return None
    value = metrics["worse_share"]
    figure = share(value) if value is not None else DASH
    return Tile(figure, "of damaged images made worse", "than they were", value < 0.05)
