"""What a page's reports and models have to agree in: models, sets, code and parameters."""

from collections.abc import Mapping
from pathlib import Path

from remint.core.fingerprint import model_fingerprint
from tasks.stage.subjects import check_subjects

# By its name in READERS, the file of a report that notes its subject, and the stage that wrote it
REPORTS = {
    "ingest": ("statistics.json", "ingest"),
    "restorer": ("slices.json", "evaluate_restorer"),
    "generator": ("figures.json", "evaluate_generator"),
    "export": ("figures.json", "export_synthetic"),
    "synthetic": ("utility.json", "evaluate_synthetic"),
}
MODELS = {"restorer_model": "restorer", "generator_model": "generator"}


def check(folders: Mapping[str, Path]) -> set[str]:
    """Raise ValueError where a report is of another model, data, code or parameters.

    folders: of reports and models, by their names in READERS. Returns the stages whose reports were
    made with today's parameters.
    """
    known = {
        MODELS[name]: (model_fingerprint(folder), folder)
        for name, folder in folders.items()
        if name in MODELS and list(folder.glob("*.safetensors"))
    }
    reports = {
        folders[name] / file: stage for name, (file, stage) in REPORTS.items() if name in folders
    }
    check_subjects(reports, known, "write the page")
    return set(reports.values())
