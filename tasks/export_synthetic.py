"""Stage export_synthetic: a trained generator in, a filtered, marked and described set out.

python -m tasks.export_synthetic data/models/generator data/clean data/synthetic data/reports/export
--withheld data/withheld keeps back the rejected images and the classifier that filtered, for
evaluate_synthetic.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from remint.core.atomic import replaced_folder
from remint.core.stores import Place
from remint.export.destination import check_destination
from remint.export.export import Summary, export
from remint.export.filters import FILTERS
from remint.export.kept import work_of
from remint.export.minting import ExportConfig
from remint.export.writers import ExportedImage
from remint.generator.generator import Minter
from remint.images.imagefile import encode_png
from remint.images.imageset import ImageSet
from remint.images.passing import passing_folder
from remint.images.sheets import sheet
from tasks.stage import params, stage
from tasks.stage.console import progress, say
from tasks.stage.standing import subject
from tasks.tracking import runs


def main(argv: Sequence[str] | None = None) -> None:
    """Read the paths and the export_synthetic section; write the export and its report."""
    parser = stage.parser(
        "export_synthetic",
        __doc__,
        model="folder of the trained generator",
        clean="folder of the set that it was trained on",
        out="folder to export to; must not exist yet",
        report="folder for counts and pictures",
    )
    parser.add_argument("--withheld", type=Path, help="folder for what is not handed on")
    given = parser.parse_args(argv)
    config = params.load("export_synthetic", ExportConfig, given.params)
    avoid = ingested(given.params)
    run_stage(config, given.model, given.clean, given.out, given.report, avoid, given.withheld)


def run_stage(
    config: ExportConfig,
    model: Path,
    clean_path: Place,
    out: Path,
    report: Path,
    avoid: Sequence[Path] = (),
    withheld: Path | None = None,
) -> None:
    """Export what the model mints to `out`, which lies in none of the inputs; write the report.

    avoid: further folders that are never written to. withheld: for what is kept back.
    """
    if "set" not in config.formats:
        raise ValueError("export_synthetic.formats lacks set, which evaluate_synthetic reads")
    minter, clean = Minter.load(model, device=config.device), ImageSet(clean_path)
    data = {"clean": clean.fingerprint, "generator": minter.fingerprint}
    about = subject("export_synthetic", data)
    with runs.stage_run("export_synthetic", config, data) as run:
        inputs = [model, clean_path, *avoid]
        check_destination(out, inputs)  # before minted images are kept beside it
        with passing_folder(out, "minted", work_of(minter, clean, config)) as parts:
            summary = export(minter, clean, config, out, inputs, shown, withheld, parts)
            about["synthetic"] = ImageSet(out / "set").fingerprint
            with replaced_folder(report) as folder:
                write_report(folder, summary, about)
        run.metrics(summary.metrics)
        if summary.counts.shown:
            run.image("exported", exported_sheet(summary), 0)
        run.artifact(out / "README.md")
        run.artifact(report / "figures.json")
    tell(summary, out)


def ingested(path: Path) -> list[Path]:
    """Return the folder that the ingest section names: users' own images, to keep away from."""
    source = params.read(path).get("ingest", {}).get("path")
    return [Path(source)] if isinstance(source, str) and source else []


def shown(images: Iterable[ExportedImage], total: int) -> Iterable[ExportedImage]:
    """Pass the kept images on and show how far the export is."""
    return progress(images, total, "mint")


def write_report(folder: Path, summary: Summary, about: Mapping[str, str]) -> None:
    """Write metrics.json, figures.json with its subject, and the pictures with gallery.json."""
    counts = summary.counts
    stage.write_json(folder / "metrics.json", summary.metrics)
    figures = {
        "subject": about,
        "notes": summary.notes,
        "classes": counts.classes(),
        "filters": list(FILTERS),
        "failures": counts.failures(),
    }
    stage.write_json(folder / "figures.json", figures)
    (folder / "gallery").mkdir()
    listed = []
    for group, title, name, picture in sheets(summary):
        listed.append({"group": group, "title": title, "file": f"{name}.png"})
        (folder / "gallery" / f"{name}.png").write_bytes(encode_png(picture))
    stage.write_json(folder / "gallery.json", listed)


def sheets(summary: Summary) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """Yield group, title, name and picture: classes without an image, the exported, the rejected.

    uint8 HW3; of a class without an image some of those that were rejected.
    """
    counts = summary.counts
    for failure in counts.failures():
        rejected = counts.rejected_by_class[failure["label"]]
        title = f"{failure['class']}: none passed {failure['setting']}"
        yield "missing", title, f"missing-{failure['label']:03d}", sheet([rejected])
    if counts.shown:
        yield "exported", "Exported, a row a class", "exported", exported_sheet(summary)
    for name in FILTERS:
        if images := counts.rejected_by_filter.get(name):
            yield "rejected", f"Rejected by {name.replace('_', ' ')}", name, sheet([images])


def exported_sheet(summary: Summary) -> np.ndarray:
    """Return uint8 HW3: a row of exported images a class."""
    rows = [images for _, images in sorted(summary.counts.shown.items())]
    return sheet(rows)


def tell(summary: Summary, out: Path) -> None:
    """Say the outcome: one line, and one for each note."""
    figures = summary.metrics
    rejected = [
        f"{name.replace('_', ' ')} {n:,}" for name, n in summary.counts.by_filter().items() if n
    ]
    because = f" ({', '.join(rejected)} rejected)" if rejected else ""
    say(f"exported {figures['images']:,.0f} of {figures['minted']:,.0f} minted{because} to {out}")
    for note in summary.notes:
        say(f"note: {note}")


if __name__ == "__main__":
    stage.entry(main)
