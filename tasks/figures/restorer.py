"""The report of evaluate_restorer on disk: figures, tables and pictures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from remint.core.device import pick_device
from remint.images.imagefile import encode_png
from remint.images.sheets import sheet
from remint.metrics.features import EffLiteExtractor, Extractor
from remint.metrics.optional import inception_extractor
from remint.metrics.pixels import PSNR_CAP, SSIM_SIGMA, SSIM_WINDOW, WHOLE_CEILING
from remint.restorer.doubt import Doubt
from remint.restorer.ensemble import NOTE
from remint.restorer_evaluation.classical import TunedMethod
from remint.restorer_evaluation.distances import Comparison, SetDistances, Sets, damaged_rows
from remint.restorer_evaluation.evaluation import EvaluateRestorerConfig, Slice, Targets, damage_of
from remint.restorer_evaluation.galleries import PICTURES, choose, error_map, levels_map
from remint.restorer_evaluation.pages import assembled, pages
from remint.restorer_evaluation.slicing import DAMAGED_BELOW, slice_rows, summary
from tasks.stage import stage

FACTS = ("id", "kind", "severity", "psnr_input", "psnr", "psnr_classical")


@dataclass(frozen=True)
class Evaluation:
    """subject: fingerprints of model, data and code; frame: figures, one row an image.

    The rows stand in the order of the split. notes: grow while writing. doubt: the model's map,
    promised: what it promises, or why there is none.
    """

    subject: Mapping[str, str]
    frame: pd.DataFrame
    tuned: Mapping[Slice, TunedMethod]
    sets: Sets
    targets: Targets
    config: EvaluateRestorerConfig
    notes: list[str]
    doubt: Doubt | None = None
    promised: str = ""


def write_figures(folder: Path, measured: Evaluation) -> dict[str, float]:
    """Write metrics.json, slices.json, slices.csv and per_image.parquet; return the metrics."""
    rows = slice_rows(measured.frame, measured.tuned, measured.config)
    metrics = summary(measured.frame, rows, measured.config)
    extractor = EffLiteExtractor(pick_device(measured.config.device))
    notes = [*_window_notes(measured), *measured.notes]
    metrics |= _finite(_pooled_distances(measured, extractor, notes))
    _add_slice_distances(rows, measured, extractor, notes)
    stage.write_json(folder / "metrics.json", metrics)
    facts = {"notes": notes, "extractor": extractor.version, "slices": rows}
    model = {"fingerprint": measured.subject["restorer"]}
    about = {**facts, "model": model, "doubt": measured.promised, "subject": measured.subject}
    stage.write_json(folder / "slices.json", about)
    pd.DataFrame(rows).to_csv(folder / "slices.csv", index=False, float_format="%.4f")
    measured.frame.to_parquet(folder / "per_image.parquet", index=False)
    return metrics


def _window_notes(measured: Evaluation) -> list[str]:
    """Say how the figures are meant."""
    notes = [
        f"PSNR: mean of per-image values in dB, identical images count {PSNR_CAP:g} dB.",
        f"SSIM: Gaussian window {SSIM_WINDOW} px, std {SSIM_SIGMA}, windows inside the image only.",
        f"Slice clean: PSNR, gain and worse_share stop at {WHOLE_CEILING:g} dB, image by image.",
        f"improved_slices_below_{DAMAGED_BELOW:g}db_share: of slices with such inputs alone.",
        f"gain_low, gain_high: bootstrap interval of {measured.config.confidence:.0%} over whole "
        f"pictures, {measured.config.resamples} resamples.",
    ]
    if measured.config.ensemble:
        notes.insert(0, f"{NOTE}.")
    if measured.tuned:
        notes.append(
            "Classical rows know the recipe of the damage (kernels, masks), their strength is the "
            "best of a short list on sample pairs."
        )
    if measured.frame["ssim"].isna().any():
        notes.append(f"SSIM is absent for images with a side under {SSIM_WINDOW} px.")
    return notes


def _pooled_distances(
    measured: Evaluation, extractor: Extractor, notes: list[str]
) -> dict[str, float]:
    """Distances over all damaged images together, Inception's too where its weights are at hand."""
    config, sets = measured.config, measured.sets
    inception, note = inception_extractor(pick_device(config.device))
    notes.append(note)
    rows = damaged_rows(sets.corrupted, sets.split)
    figures: dict[str, float] = {}
    for space in (extractor, inception):
        if space is not None and len(rows):
            distances = SetDistances(sets, space, Path(config.features.cache), config.seed)
            between = distances.compare(rows, config.features.images, "All slices")
            figures |= between.figures
            notes += between.notes
    return figures


def _add_slice_distances(
    rows: list[dict[str, Any]], measured: Evaluation, extractor: Extractor, notes: list[str]
) -> None:
    """Add the distances of every slice to its row, where they are asked for and valid."""
    config, sets = measured.config, measured.sets
    images = config.features.images_per_slice
    if not images:
        notes.append("Single slices: no distances, since features.images_per_slice is 0.")
        return
    distances = SetDistances(sets, extractor, Path(config.features.cache), config.seed)
    damaged = damaged_rows(sets.corrupted, sets.split)
    for row in rows:
        part = damaged[(damaged["kind"] == row["kind"]) & (damaged["severity"] == row["severity"])]
        if len(part):
            what = f"{row['kind']} {row['severity']}"
            found: Comparison = distances.compare(part, images, what)
            row |= _finite(found.figures)
            notes += found.notes


def write_gallery(folder: Path, measured: Evaluation) -> np.ndarray | None:
    """Write gallery/*.png and gallery.json; return a sheet of the random images, if any."""
    (folder / "gallery").mkdir()
    entries, sheet_rows = [], []
    choices = choose(measured.frame, measured.config.gallery, measured.config.seed)
    for number, choice in enumerate(choices):
        pictures = _pictures(choice.position, measured)
        names = {name: f"{choice.group}-{number:03d}-{name}.png" for name in pictures}
        for name, picture in pictures.items():
            (folder / "gallery" / names[name]).write_bytes(encode_png(picture))
        entries.append({"group": choice.group, **_facts(measured, choice.position), **names})
        if choice.group == "random":
            sheet_rows.append([pictures[name] for name in PICTURES if name in pictures])
    stage.write_json(folder / "gallery.json", [*entries, *_write_pages(folder, measured)])
    return sheet(sheet_rows) if sheet_rows else None


def _write_pages(folder: Path, measured: Evaluation) -> Iterator[dict[str, Any]]:
    """Write pictures that were measured as tiles whole; yield their facts and files."""
    sets, config = measured.sets, measured.config
    rows, known = sets.corrupted.frame(sets.split), sets.clean.frame(sets.split)
    images = {
        "input": lambda row: sets.corrupted.at(int(rows["position"][row]))[1],
        "output": lambda row: sets.restored.at(row)[1],
        "target": lambda row: measured.targets[rows["clean_id"][row]],
    }
    for number, page in enumerate(pages(rows, known, config.gallery, config.seed)):
        names = {name: f"page-{number:03d}-{name}.png" for name in images}
        for name, image in images.items():
            whole = assembled(page, image, lambda position: sets.clean.at(position)[1])
            (folder / "gallery" / names[name]).write_bytes(encode_png(whole))
        tiles = measured.frame.iloc[list(page.places)]
        facts = {name: float(tiles[name].mean()) for name in ("psnr_input", "psnr")}
        facts |= {"severity": page.severity, "tiles": len(tiles)}
        facts |= {"tiles_there": len(tiles) + len(page.others)}
        yield {"group": "pages", "id": page.name, "kind": page.kind, **facts, **names}


def _pictures(position: int, measured: Evaluation) -> dict[str, np.ndarray]:
    """Return the pictures of one row of the split, uint8 HWC, by name."""
    sets = measured.sets
    places = sets.corrupted.frame(sets.split)["position"]
    row, damaged = sets.corrupted.at(int(places.iloc[position]))
    output = sets.restored.at(position)[1]
    target = measured.targets[row["clean_id"]]
    pictures = {"input": damaged, "output": output, "target": target}
    pictures["error"] = error_map(output, target)
    if measured.doubt is not None:
        pictures["doubt"] = levels_map(measured.doubt.map_of(damaged, output))
    classical = measured.tuned.get((row["kind"], row["severity"]))
    if classical is not None:
        pictures["classical"] = classical(damage_of(row, damaged))
    return pictures


def _facts(measured: Evaluation, position: int) -> dict[str, Any]:
    facts = measured.frame.iloc[position][list(FACTS)].to_dict()
    return {str(name): value for name, value in facts.items() if not pd.isna(value)}


def _finite(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if np.isfinite(value)}
