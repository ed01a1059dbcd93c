"""Stage evaluate_restorer: how good a restorer is, beside doing nothing and a classical method.

The stage:
  python -m tasks.evaluate_restorer MODEL CLEAN CORRUPTED REPORT RESTORED
writes metrics.json, slices.json, slices.csv, per_image.parquet and gallery/ into the folder REPORT
and the restored test images as an image set into RESTORED.

Figures that compare with published ones, on a folder of clean test images (Set12, BSD68, ...):
  python -m tasks.evaluate_restorer --protocol gaussian-denoising --images FOLDER --sigma 25 \\
      [--ensemble] MODEL REPORT
adds noise of seed 0 to every image (neither clipped nor rounded), restores it whole, prints PSNR
image by image with the mean, and writes REPORT/protocol.json.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from remint.core.atomic import replaced_folder
from remint.core.device import pick_device
from remint.core.stores import Place
from remint.images.imagerows import set_schema
from remint.images.imageset import EncodedRecord, ImageSet, Record, write
from remint.images.passing import passing_folder
from remint.metrics.optional import lpips_distance
from remint.metrics.published import fetch_published
from remint.restorer.doubt import Doubt, promise
from remint.restorer.ensemble import NOTE, ensembled
from remint.restorer.restorer import Restorer
from remint.restorer_evaluation import protocol
from remint.restorer_evaluation.coverage import COVERED_QUARTER
from remint.restorer_evaluation.distances import Sets
from remint.restorer_evaluation.evaluation import (
    RESTORED_FIELDS,
    EvaluateRestorerConfig,
    Row,
    Targets,
    evaluate,
    tune_classical,
)
from remint.restorer_evaluation.parts import PairPartMaker, planned_parts, read_part, work_of
from tasks.figures.restorer import Evaluation, write_figures, write_gallery
from tasks.stage import params, stage
from tasks.stage.console import progress, say
from tasks.stage.standing import subject
from tasks.tracking import runs

PATHS = ("MODEL", "CLEAN", "CORRUPTED", "REPORT", "RESTORED")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage, or a protocol; see --help."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    names = ("MODEL", "REPORT") if arguments.protocol else PATHS
    if len(arguments.paths) != len(names):
        found = f"found {len(arguments.paths)} paths, needed {len(names)}"
        parser.error(f"{found}: {' '.join(names)}")
    try:
        given = zip(names, arguments.paths, strict=True)
        arguments.paths = [stage.place(name.lower(), path) for name, path in given]
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    if arguments.protocol:
        _run_protocol(parser, arguments)
    else:
        config = params.load("evaluate_restorer", EvaluateRestorerConfig, arguments.params)
        run_stage(config, *arguments.paths)


def _parser() -> argparse.ArgumentParser:
    parser = stage.parser("evaluate_restorer", __doc__)
    parser.add_argument("paths", nargs="+", help=" ".join(PATHS) + ", or MODEL REPORT")
    parser.add_argument("--protocol", choices=[protocol.NAME])
    parser.add_argument("--images", type=Path, help="folder of clean images, for a protocol")
    parser.add_argument("--sigma", type=float, help="noise in levels of 0..255: 15, 25, 50")
    parser.add_argument("--interpolation", type=float, help="0 fidelity .. 1 adversarial weights")
    parser.add_argument("--ensemble", action="store_true", help=f"of a protocol: {NOTE}")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    return parser


def _run_protocol(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.images is None or arguments.sigma is None:
        parser.error("--protocol needs --images FOLDER and --sigma LEVELS")
    model, report = arguments.paths
    restorer = Restorer.load(model, interpolation=arguments.interpolation, device=arguments.device)
    network = ensembled(restorer, arguments.ensemble)
    figures = []
    for figure in protocol.gaussian_denoising(network, arguments.images, arguments.sigma):
        say(f"{figure.name:>12}  input {figure.psnr_input:6.2f} dB  output {figure.psnr:6.2f} dB")
        figures.append(dataclasses.asdict(figure))
    mean = float(np.mean([figure["psnr"] for figure in figures]))
    say(f"{'mean':>12}  of {len(figures)} images at sigma {arguments.sigma:g}: {mean:.2f} dB")
    if arguments.ensemble:
        say(NOTE)
    facts = {"protocol": protocol.NAME, "sigma": arguments.sigma, "psnr": mean, "images": figures}
    facts["self_ensemble"] = arguments.ensemble
    stage.write_json(report / "protocol.json", facts)


def run_stage(
    config: EvaluateRestorerConfig,
    model: Path,
    clean_path: Place,
    corrupted_path: Place,
    report: Path,
    restored_path: Place,
) -> None:
    """Measure the model on the corrupted set's split; write the report and the restored set."""
    clean, corrupted = ImageSet(clean_path), ImageSet(corrupted_path)
    if not (corrupted.frame()["split"] == config.split).any():
        raise ValueError(f"{corrupted_path} has no pairs in {config.split}; run corrupt with some.")
    restorer = Restorer.load(model, interpolation=config.interpolation, device=config.device)
    data = {"clean": clean.fingerprint, "corrupted": corrupted.fingerprint}
    data["restorer"] = restorer.fingerprint
    about = subject("evaluate_restorer", data)
    with runs.stage_run("evaluate_restorer", config, data) as run:
        targets = Targets(clean)
        watch = partial(progress, label="tune classical methods, by slice")
        tuned = tune_classical(corrupted, targets, config, watch)
        notes = fetch_published(config.published_weights, ("lpips", "fid"), say)
        lpips, note = lpips_distance(pick_device(config.device))
        doubt, told = map_of_doubt(model, restorer, config)
        measured = lpips is not None, doubt is not None
        key = work_of(restorer, clean, corrupted, config, measured)

        def measure(positions: Iterable[int]) -> Iterator[tuple[Record, Row]]:
            rows = map(corrupted.at, positions)
            return evaluate(restorer, rows, targets, tuned, config, lpips, doubt)

        with passing_folder(restored_path, "pairs", key) as parts:
            frame = restore(measure, parts, corrupted, config, restored_path)
            sets = Sets(clean, corrupted, ImageSet(restored_path), config.split)
            evaluation = Evaluation(
                about, frame, tuned, sets, targets, config, [*notes, note], doubt, told
            )
            with replaced_folder(report) as folder:
                metrics = write_figures(folder, evaluation)
                picture = write_gallery(folder, evaluation)
        run.metrics(metrics)
        if picture is not None:
            run.image("gallery", picture, 0)
        run.artifact(report / "slices.json")
    say(sentence(metrics))


def map_of_doubt(
    model: Path, restorer: Restorer, config: EvaluateRestorerConfig
) -> tuple[Doubt | None, str]:
    """Return the model's map of doubt with its promise; none, and why, where it has none."""
    if config.ensemble:
        return None, "The map of doubt knows nothing of the self-ensemble, so none is measured."
    try:
        return Doubt.load(model, restorer), promise(restorer.card)
    except ValueError as error:
        return None, f"No map of doubt is measured: {error}."


def restore(
    measure: Callable[[Iterable[int]], Iterable[tuple[Record, Row]]],
    parts: Place,
    corrupted: ImageSet,
    config: EvaluateRestorerConfig,
    path: Place,
) -> pd.DataFrame:
    """Write the restored set to `path`; return its figures, one row an image, in its order.

    measure: takes numbers of rows of the corrupted set; parts: the folder of those that are done.
    """
    rows: list[Row] = []
    total = int((corrupted.frame()["split"] == config.split).sum())
    kept = {k: v for k, v in corrupted.metadata.items() if k in ("class_names", "channels")}
    metadata = {**kept, "corrupted_fingerprint": corrupted.fingerprint}
    make = PairPartMaker(parts, set_schema({}, RESTORED_FIELDS), measure)
    pairs = chain.from_iterable(map(read_part, map(make, planned_parts(corrupted, config))))
    records = _collecting(progress(pairs, total, "restore and score"), rows)
    write(path, records, metadata=metadata, extra_fields=RESTORED_FIELDS)
    return pd.DataFrame(rows)


def _collecting(
    pairs: Iterable[tuple[EncodedRecord, Row]], rows: list[Row]
) -> Iterator[EncodedRecord]:
    for record, row in pairs:
        rows.append(row)
        yield record


def sentence(metrics: Mapping[str, float]) -> str:
    """Say the outcome in one line."""
    parts = [f"{metrics['images']:,.0f} images of {metrics['pictures']:,.0f} pictures"]
    if "psnr" in metrics:
        parts.append(f"PSNR {metrics['psnr_input']:.2f} -> {metrics['psnr']:.2f} dB")
    if "psnr_classical" in metrics:
        parts.append(f"classical {metrics['psnr_classical']:.2f} dB")
    if "worse_share" in metrics:
        parts.append(f"{metrics['worse_share']:.1%} made worse")
    if "clean_psnr_capped40" in metrics:
        parts.append(f"clean {metrics['clean_psnr_capped40']:.2f} of 40 dB")
    if COVERED_QUARTER in metrics:
        parts.append(f"map of doubt right for {metrics[COVERED_QUARTER]:.1%} of its worst quarter")
    if "self_ensemble" in metrics:
        parts.append(f"by x{metrics['self_ensemble']:.0f} self-ensemble")
    return ", ".join(parts)


if __name__ == "__main__":
    stage.entry(main)
