"""The verdict in plain words: are minted images what they should be, of use, and no copies?"""

from collections.abc import Mapping
from typing import Any

from tasks.page.inputs import Inputs, StageReport
from tasks.page.restorer_verdict import Tile, Verdict
from tasks.page.words import count, number, points, share

RIGHT = 0.9  # class accuracy from which minted images count as recognised
GAP = 6.0  # points that images alone may lack of real ones to count as near them
USE = {
    "helps": "added to real images they help a classifier",
    "hurts": "added to real images they hurt a classifier",
    "inconclusive": "whether they help a classifier is not settled",
}

Row = Mapping[str, Any]


def mint_verdict(inputs: Inputs) -> Verdict | None:
    """Say what the reports on minted images mean; None where there are none."""
    made, tried = inputs.generator, inputs.synthetic
    if made is None and tried is None:
        return None
    class_words = [_class_words(made.metrics)] if made else []
    parts = [*class_words, *([_use_words(tried), _copy_words(tried)] if tried else [])]
    told = [part for part in parts if part] or ["Minted images were made and not judged"]
    return Verdict(
        headline="; ".join([told[0][:1].upper() + told[0][1:], *told[1:]]) + ".",
        sentences=_sentences(tried) if tried else [],
        tiles=[tile for tile in _tiles(made, tried) if tile is not None],
    )


def primary(tried: StageReport) -> Row | None:
    """Return the verdict that was fixed beforehand to count, on the most real images judged."""
    rows = [
        row
        for row in tried.facts["utility"]["verdicts"]
        if row["primary"] and row["verdict"] in USE
    ]
    return next((row for row in rows if row["fraction"] == "all"), rows[-1] if rows else None)


def _class_words(metrics: Mapping[str, float]) -> str:
    if "class_accuracy" not in metrics:
        return ""
    verb = "are mostly" if metrics["class_accuracy"] >= RIGHT else "are often not"
    return (
        f"minted images {verb} recognised as what they should be: "
        f"{share(metrics['class_accuracy'])} by a classifier of real ones"
    )


def _use_words(tried: StageReport) -> str:
    row = primary(tried)
    return f"{USE[row['verdict']]} ({points(row['gain'])})" if row else ""


def _copy_words(tried: StageReport) -> str:
    """Return the outcome of the copy check: its verdict up to where the figures start."""
    first = str(tried.facts["copycheck"]["verdict"]).split(":")[0].split(".")[0]
    return "copies were not looked for" if first == "Not checked" else first[:1].lower() + first[1:]


def _sentences(tried: StageReport) -> list[str]:
    """Return what the stage itself says: usefulness, gaps, failed controls, copies."""
    utility, row = tried.facts["utility"], primary(tried)
    failed = [control["text"] for control in utility["controls"] if not control["passed"]]
    gaps = [gap["text"] for gap in utility["gaps"]]
    return [*([row["text"]] if row else []), *gaps, *failed, tried.facts["copycheck"]["verdict"]]


def _tiles(made: StageReport | None, tried: StageReport | None) -> list[Tile | None]:
    first = [_class_tile(made.metrics), _distance_tile(made.metrics)] if made else []
    last = [_alone_tile(tried.metrics), _gain_tile(tried), _copy_tile(tried)] if tried else []
    return [*first, *last]


def _class_tile(metrics: Mapping[str, float]) -> Tile | None:
    if "class_accuracy" not in metrics:
        return None
    real, value = metrics.get("class_accuracy_real"), metrics["class_accuracy"]
    detail = f"real test images: {share(real)}" if real is not None else ""
    return Tile(share(value), "recognised as their class", detail, value >= RIGHT)


def _distance_tile(metrics: Mapping[str, float]) -> Tile | None:
    if "kid_efflite0" not in metrics:
        return None
    floor = metrics.get("kid_efflite0_floor")
    detail = f"real against real: {number(1000 * floor, 1)}" if floor is not None else ""
    label = "KID-EffLite0 x 1000, lower is better"
    return Tile(number(1000 * metrics["kid_efflite0"], 1), label, detail, None)


def _alone_tile(metrics: Mapping[str, float]) -> Tile | None:
    if "accuracy_synthetic_only" not in metrics:
        return None
    gap = metrics["cas_gap_points"]
    detail = f"{number(gap)} points below real ones" if gap > 0 else "no less than with real ones"
    label = "accuracy when trained on minted images alone"
    return Tile(share(metrics["accuracy_synthetic_only"]), label, detail, gap <= GAP)


def _gain_tile(tried: StageReport) -> Tile | None:
    row = primary(tried)
    if row is None:
        return None
    good = {"helps": True, "hurts": False}.get(row["verdict"])
    detail = f"{row['verdict']}; interval {points(row['low'])} to {points(row['high'])}"
    return Tile(points(row["gain"]), "accuracy when added to real images", detail, good)


def _copy_tile(tried: StageReport) -> Tile | None:
    suspects = tried.facts["copycheck"]["suspects"]
    if not suspects:
        return None
    value, usual = suspects["suspected_share"], suspects["held_out_suspected_share"]
    label = f"of {count(suspects['images'])} suspiciously near a training image"
    first = str(tried.facts["copycheck"]["verdict"])
    good = None if first.startswith("Can't tell") else first.startswith("No more")
    return Tile(share(value), label, f"real held-out images: {share(usual)}", good)
