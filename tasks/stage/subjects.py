"""Whether reports speak of one model each, one data set and today's code.

Each stage that reports notes its `subject`; a page that showed one model's figures beside another's
curves would be believed. DVC sees to it in its graph, this where stages are run by hand.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from tasks.stage.standing import subject


def check_subjects(
    reports: Mapping[Path, str],
    known: Mapping[str, tuple[str, object]],
    then: str,
    needed: Collection[str] = (),
) -> None:
    """Raise ValueError where a report speaks of another model, data, code or parameters.

    reports: JSON files that hold a `subject`, with the stages that wrote them, each after those it
    builds on: what one tells is known of the next. known: fingerprints, with where they were found,
    by name. then: what to do once the report is right. needed: names that every report must tell;
    what it does not tell else is not looked at, nor is code where today's is not known.
    """
    found = dict(known)
    for report, stage in reports.items():
        told = json.loads(report.read_text(encoding="utf-8")).get("subject", {})
        code = subject(stage, {})["code"]
        here = found | ({"code": (code, Path.cwd())} if code or "code" in needed else {})
        for name, print_ in {**dict.fromkeys(needed, "not told"), **told}.items():
            today, where = here.get(name, (print_, ""))
            if print_ != today:
                raise ValueError(
                    f"{report} speaks of {another(name)} ({print_}) than {where} ({today}); run "
                    f"its stage again (dvc repro -f -s {stage}), or all that is stale (dvc repro), "
                    f"then {then}"
                )
        found = {name: (told[name], report) for name in told if name != "code"} | found


def another(what: str) -> str:
    """Return how a sentence names what a report speaks of instead, by its name in `subject`."""
    return "other code or parameters" if what == "code" else f"another {what}"
