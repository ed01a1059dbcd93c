"""Stage report: the reports and the model in, one self-contained page out.

python -m tasks.report data/reports/ingest data/reports/restorer data/models/restorer PAGE
takes any number of folders, or folders of such folders, and shows whatever reports it finds.
"""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.page import data, generator, restorer, subjects
from tasks.page.generator_verdict import mint_verdict
from tasks.page.inputs import Inputs, read_inputs
from tasks.page.parts import Builder, ReportConfig, Section
from tasks.page.provenance import Provenance, collect
from tasks.page.restorer_verdict import Verdict, verdict
from tasks.page.training import training_section
from tasks.page.words import FILTERS
from tasks.stage import params, stage
from tasks.stage.console import say
from tasks.tracking import runs

TEMPLATES = Path(__file__).with_name("page") / "templates"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage on the paths given on the command line."""
    parser = stage.parser("report", __doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("page", type=Path, metavar="PAGE", help="the HTML file to write")
    given = parser.parse_args(argv)
    config = params.load("report", ReportConfig, given.params)
    with runs.stage_run("report", config) as run:
        inputs = read_inputs(given.folders)
        todays = subjects.check(inputs.folders)
        text = render(inputs, collect(Path(), given.params, todays), config)
        stage.write_text(given.page, text)
        run.artifact(given.page)
    say(f"report: {given.page}, {len(text.encode()) / 2**20:.1f} MiB")


def render(inputs: Inputs, provenance: Provenance, config: ReportConfig) -> str:
    """Return the page: verdicts first, then the sections of whatever reports there are."""
    sections = [part for build in BUILDERS for part in build(inputs, provenance, config)]
    return (
        environment()
        .get_template("page.html")
        .render(title=config.title, verdicts=verdicts(inputs), sections=sections)
    )


def verdicts(inputs: Inputs) -> list[Verdict]:
    """Return the verdict of each half of Remint that was evaluated."""
    restored = inputs.restorer
    halves = [verdict(restored.metrics, restored.slices)] if restored else []
    minted = mint_verdict(inputs)
    return [*halves, minted] if minted else halves


def environment() -> Environment:
    """Return the templates' environment: everything escaped, nothing undefined passes."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= FILTERS
    return made


def restorer_sections(
    inputs: Inputs, provenance: Provenance, config: ReportConfig
) -> list[Section]:
    """Return sliders, slices and galleries of the restorer's evaluation."""
    report = inputs.restorer
    if report is None:
        return []
    pictures = restorer.galleries(report, config.gallery, config.slider, config.picture_pixels)
    trained = restorer.trained_kinds(provenance.values)
    table = {
        "kinds": restorer.kinds(report.slices, trained),
        "strengths": restorer.strengths(report.slices),
        "extras": restorer.extra_columns(report.slices),
        "pooled": restorer.distances(report.metrics),
    }
    doubt = restorer.doubt(report, pictures["sliders"])
    sections = [
        Section("before-after", "Before and after", "sliders.html", pictures),
        Section("slices", "Every kind and strength of damage", "slices.html", table),
        Section("doubt", "How sure is it", "doubt.html", doubt),
        Section("galleries", "Best, ordinary, worst", "galleries.html", pictures),
    ]
    wanted = {
        "before-after": pictures["sliders"],
        "galleries": pictures["groups"],
        "doubt": report.doubt,
    }
    return [section for section in sections if wanted.get(section.anchor, True)]


def training_sections(
    inputs: Inputs, provenance: Provenance, config: ReportConfig
) -> list[Section]:
    """Return the learning curves of the restorer."""
    return training_section(
        inputs.restorer_model,
        config,
        "training",
        "How the restorer was trained",
        "Fixed validation images during training",
    )


def data_sections(inputs: Inputs, provenance: Provenance, config: ReportConfig) -> list[Section]:
    """Return the data section."""
    if inputs.ingest is None:
        return []
    rows = data.data_section(inputs.ingest, config.quarantine_rows)
    return [Section("data", "The data", "data.html", rows)]


def notes_sections(inputs: Inputs, provenance: Provenance, config: ReportConfig) -> list[Section]:
    """Return what the restorer's figures mean and what they are not."""
    report = inputs.restorer
    if report is None:
        return []
    words = {"notes": report.notes, "extractor": report.extractor}
    return [Section("notes", "What the restorer's figures mean, and what not", "notes.html", words)]


def provenance_sections(
    inputs: Inputs, provenance: Provenance, config: ReportConfig
) -> list[Section]:
    """Return commit, hashes, parameters and versions."""
    models = {"restorer": inputs.restorer_model, "generator": inputs.generator_model}
    measured = {
        "restorer": inputs.restorer.model if inputs.restorer else {},
        "generator": inputs.generator.facts["figures"].get("model", {}) if inputs.generator else {},
    }
    cards = {
        name: {"fingerprint": measured[name].get("fingerprint", ""), **model.card}
        for name, model in models.items()
        if model
    }
    facts = {"provenance": provenance, "cards": cards}
    return [Section("provenance", "Where this comes from", "provenance.html", facts)]


# The order of the page.
BUILDERS: tuple[Builder, ...] = (
    restorer_sections,
    training_sections,
    notes_sections,
    *generator.BUILDERS,
    data_sections,
    provenance_sections,
)

if __name__ == "__main__":
    stage.entry(main)
