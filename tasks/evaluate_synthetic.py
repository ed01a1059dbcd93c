"""Stage evaluate_synthetic: do the minted images help a classifier, and is any of them a copy?

  python -m tasks.evaluate_synthetic CLEAN SYNTHETIC REPORT [--withheld WITHHELD]
writes metrics.json, utility.json, utility.csv, by_class.csv, copycheck.json, copies.json and
copies/ into the folder REPORT. SYNTHETIC is what export_synthetic wrote, or an image set;
WITHHELD what it kept back, without which there are no arms of unfiltered images and of real ones
with soft labels.

A fraction of the real images is judged with a generator that saw nothing else: ingest so few, train
and mint on them, and give both sets beside the whole ones:
  python -m tasks.evaluate_synthetic --also CLEAN25 SYNTHETIC25 CLEAN SYNTHETIC REPORT
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remint.core.atomic import replaced_folder
from remint.core.device import pick_device
from remint.core.stores import Place
from remint.images.imageset import ImageSet
from remint.utility.config import EvaluateSyntheticConfig
from remint.utility.fits import fit_all, measured
from remint.utility.origins import Origin
from remint.utility.outcomes import Outcomes
from remint.utility.study import length_notes, prepare
from tasks.figures.copies import check_copies, write_copies
from tasks.figures.utility import utility_facts, utility_metrics, write_utility
from tasks.stage import params, stage
from tasks.stage.console import progress, say
from tasks.stage.standing import subject
from tasks.tracking import runs


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage on the paths given on the command line."""
    parser = stage.parser(
        "evaluate_synthetic",
        __doc__,
        clean="the real image set",
        synthetic="export, or image set, to be judged",
        report="folder for figures and pictures",
    )
    pair = ("CLEAN", "SYNTHETIC")
    parser.add_argument("--also", nargs=2, action="append", default=[], metavar=pair)
    parser.add_argument("--withheld", type=Path, help="what the export kept back")
    given = parser.parse_args(argv)
    config = params.load("evaluate_synthetic", EvaluateSyntheticConfig, given.params)
    also = [open_sets(*map(Path, pair)) for pair in given.also]
    main = open_sets(given.clean, given.synthetic, given.withheld)
    run_stage(config, main, also, given.report)


def open_sets(clean: Place, synthetic: Path, withheld: Path | None = None) -> Origin:
    """Open both sets; an export keeps its own in `set`, and apart what it withheld."""
    inside = synthetic / "set"
    if not inside.is_dir() and (synthetic / "manifest.parquet").is_file():
        raise ValueError(
            f"{synthetic} was exported without the image set that is judged; add set to "
            "export_synthetic.formats."
        )
    minted = ImageSet(inside if inside.is_dir() else synthetic)
    return Origin(ImageSet(clean), minted, withheld)


def run_stage(
    config: EvaluateSyntheticConfig, main: Origin, also: Sequence[Origin], report: Path
) -> None:
    """Judge usefulness and look for copies; write the report."""
    for origin in (main, *also):
        origin.check()
    data = {"clean": main.clean.fingerprint, "synthetic": main.synthetic.fingerprint}
    with runs.stage_run("evaluate_synthetic", config, data) as run:
        about = subject("evaluate_synthetic", data | main.minted_by())
        utility, metrics = study_utility(config, main, also)
        utility["subject"] = about
        copies = check_copies(config, main.clean, main.synthetic)
        metrics |= copies.metrics
        with replaced_folder(report) as folder:
            write_utility(folder, utility)
            sheet = write_copies(folder, copies)
            stage.write_json(folder / "metrics.json", metrics)
        run.metrics(metrics)
        if sheet is not None:
            run.image("nearest_pairs", sheet, 0)
        run.artifact(report / "utility.json")
        run.artifact(report / "copycheck.json")
    _tell(utility, copies.facts)


def study_utility(
    config: EvaluateSyntheticConfig, main: Origin, also: Sequence[Origin]
) -> tuple[dict[str, Any], dict[str, float]]:
    """Fit every arm; return utility.json and the figures for metrics.json."""
    missing = _without_images(main.synthetic)
    if note := _not_judged(main.clean, missing):
        parts = ("arms", "verdicts", "controls", "gaps", "classes")
        return {**{name: [] for name in parts}, "notes": [note]}, {}
    study = prepare(main, also, config, str(pick_device(config.device)))
    say("usefulness: measuring how many steps real images need")
    experiment = measured(study.experiment, config.workers)
    total = len(experiment.jobs())
    fits = list(progress(fit_all(experiment, config.workers), total, "classifiers"))
    outcomes = Outcomes(experiment, fits, study.labels)
    lacking = f"No minted image of {', '.join(missing)}: no arm of minted images knows of it."
    notes = [*study.notes, *length_notes(experiment), *([lacking] if missing else [])]
    names = main.clean.class_names
    return utility_facts(outcomes, notes, names), utility_metrics(outcomes)


def _without_images(synthetic: ImageSet) -> list[str]:
    """Return the names of the classes of which the export has no image."""
    labels = set(synthetic.frame()["label"].dropna())
    return [name for label, name in enumerate(synthetic.class_names) if label not in labels]


def _not_judged(clean: ImageSet, missing: Sequence[str]) -> str | None:
    classes, frame = len(clean.class_names), clean.frame()
    if classes < 2:
        return "Usefulness is judged by a classifier, and this set has no two classes."
    if frame.loc[frame["split"] == "test", "label"].isna().all():
        return (
            "Usefulness is judged on labelled test images, and none of the test split has a label; "
            "label some, or let `ingest.shares` take a test split from those that have one."
        )
    if classes == len(missing):
        return (
            f"Usefulness is not judged: 0 of {classes} classes have minted images; the section on "
            "the export shows what was rejected."
        )
    return None


def _tell(utility: Mapping[str, Any], copies: Mapping[str, Any]) -> None:
    for row in utility["verdicts"]:
        if row["primary"] or row["verdict"] == "not judged":
            say(row["text"])
    told = ("helps", "hurts", "not judged")
    for row in (row for row in utility["classes"] if row["verdict"] in told):
        say(row["text"])
    for row in utility["gaps"] + [row for row in utility["controls"] if not row["passed"]]:
        say(row["text"])
    for row in copies["selftest"]:
        say(f"planted {row['description']} copies: {row['detected_share']:.0%} detected")
    say(copies["verdict"])


if __name__ == "__main__":
    stage.entry(main)
