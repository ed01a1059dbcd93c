"""Stage ingest: a folder, table or named set in, a clean image set and its report out.

python -m tasks.ingest data/embedded data/clean data/reports/ingest
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from remint.core.stores import Place
from remint.images.imageset import SPLITS, ImageSet
from remint.ingest.census import Census
from remint.ingest.config import IngestConfig
from remint.ingest.ingesting import ingest
from remint.ingest.items import Source, limited, without
from remint.ingest.preparing import Prepared
from remint.ingest.sources import open_source
from tasks.stage import stage
from tasks.stage.console import progress, say
from tasks.stage.params import load
from tasks.stage.standing import subject
from tasks.tracking.runs import Run, stage_run

REFUSED = "none, it was refused"  # the set that such a report speaks of


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage on the paths given on the command line."""
    parser = stage.parser(
        "ingest",
        __doc__,
        source="folder of the images or of the table",
        clean="image set to write",
        report="folder for counts, statistics and quarantine",
    )
    given = parser.parse_args(argv)
    config = load("ingest", IngestConfig, given.params)
    with stage_run("ingest", config) as run:
        whole = open_source(config.source, given.source, config.settings)
        source = limited(without(whole, config.leave_out), config.limit)
        census = Census()
        report = partial(_report, census, source, given.report, run)
        with _reported(report, given.clean):
            ingest(source, config, given.clean, census, _watched(source))
    say(f"ingest: {_sentence(census)}, in {given.clean}")
    for warning in census.warnings():
        say(f"ingest: warning: {warning}")


@contextmanager
def _reported(report: Callable[[Mapping[str, str]], None], clean: Place) -> Iterator[None]:
    """Write the report, also of a refused set, which is understood from its quarantine.

    report: takes its subject.
    """
    about = subject("ingest", {})
    try:
        yield
    except ValueError:
        report({**about, "clean": REFUSED})
        raise
    report({**about, "clean": ImageSet(clean).fingerprint})


def _report(
    census: Census, source: Source, folder: Path, run: Run, about: Mapping[str, str]
) -> None:
    statistics = {**census.statistics(source.class_names), "subject": about}
    stage.write_json(folder / "metrics.json", census.metrics())
    stage.write_json(folder / "statistics.json", statistics)
    stage.write_text(folder / "quarantine.csv", _quarantine(census))
    run.metrics(census.metrics())
    run.artifact(folder, "ingest")


def _watched(source: Source) -> Callable[[Iterable[Prepared]], Iterable[Prepared]]:
    return partial(progress, total=source.count, label="ingest")


def _quarantine(census: Census) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("source", "reason"))
    rows.writerows(census.quarantine)
    return text.getvalue()


def _sentence(census: Census) -> str:
    counts = census.metrics()
    words = ("kept", "train", "val", "test", "duplicates", "near_duplicates", "quarantined")
    told = ", ".join(f"{counts[word]:,} {word.replace('_', '-')}" for word in words)
    if counts["pictures"] == counts["kept"]:
        return told
    pictures = ", ".join(f"{counts[f'pictures_{split}']:,} {split}" for split in SPLITS)
    return f"{told}; of {counts['pictures']:,} pictures: {pictures}"


if __name__ == "__main__":
    stage.entry(main)
