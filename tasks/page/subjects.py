"""Whether what a page is made from speaks of one model each, one data set and today's code.

Each evaluation notes what it measured; a page that showed one model's figures beside another's
curves would be believed. DVC sees to it in its graph, this where stages are run by hand.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from remint.core.fingerprint import model_fingerprint
from tasks.stage.standing import another, subject

# By the file that notes it, the stage that measured
MEASURED = {"slices.json": "restorer", "figures.json": "generator", "utility.json": "synthetic"}
MODELS = ("restorer", "generator")


class Subject(NamedTuple):
    """what: fingerprints by name, as `subject` gives them; empty in a report that tells none."""

    file: Path
    stage: str
    what: Mapping[str, str]


def check(folders: Iterable[Path]) -> None:
    """Raise ValueError where an evaluation is of another model, data, code or parameters.

    folders: of reports and models. What a report does not tell is not looked at.
    """
    found = list(folders)
    known = {name: (print_, folder) for name, print_, folder in _models(found)}
    for report in _subjects(found):
        here = dict(known)
        if code := subject(report.stage, {})["code"]:
            here["code"] = (code, Path.cwd())
        for name, (print_, where) in here.items():
            if report.what.get(name, print_) != print_:
                raise ValueError(
                    f"{report.file} speaks of {another(name)} ({report.what[name]}) than {where} "
                    f"({print_}); measure again (dvc repro -f -s {report.stage}), then write the "
                    "page"
                )
        if "clean" in report.what:
            known.setdefault("clean", (report.what["clean"], report.file))


def _models(folders: Iterable[Path]) -> Iterator[tuple[str, str, Path]]:
    for folder in folders:
        for name in MODELS:
            if (folder / f"{name}.json").is_file() and list(folder.glob("*.safetensors")):
                yield name, model_fingerprint(folder), folder


def _subjects(folders: Iterable[Path]) -> Iterator[Subject]:
    for folder in folders:
        for name, measured in MEASURED.items():
            if (file := folder / name).is_file():
                told = json.loads(file.read_text(encoding="utf-8")).get("subject", {})
                yield Subject(file, f"evaluate_{measured}", told)
