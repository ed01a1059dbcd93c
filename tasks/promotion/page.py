"""The page of promotion: which version is champion, and why, beside the report.

It is drawn from the decisions that `python -m tasks.promotion.promote` leaves as promotion-*.json.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.page.parts import Section
from tasks.page.restorer_verdict import Verdict
from tasks.promotion.registry import Version
from tasks.report import environment
from tasks.stage import stage

PAGE = "promotion.html"


def row(version: Version) -> dict[str, str]:
    """Return what the page tells of a version: its number, time (UTC), standing and reasons."""
    when = datetime.fromtimestamp(version.created / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    standing = ", ".join(version.aliases) or version.tags.get("decision", "registered")
    reasons = version.tags.get("reasons", "")
    return {"number": version.number, "when": when, "standing": standing, "reasons": reasons}


def write(reports: Path) -> Path:
    """Write the page of all decisions in the folder of reports, and return its path."""
    files = sorted(reports.glob("promotion-*.json"), reverse=True)  # the restorer first
    page = reports / PAGE
    stage.write_text(page, render([json.loads(file.read_text("utf-8")) for file in files]))
    return page


def render(decisions: list[Mapping[str, Any]]) -> str:
    """Return the page: a verdict with its reasons a model, then every version of each."""
    verdicts = [
        Verdict(_sentence(told["verdict"]), [_sentence(why) for why in told["reasons"]], [])
        for told in decisions
    ]
    sections = [
        Section(str(told["model"]), f"Versions of the {told['model']}", "versions.html", dict(told))
        for told in decisions
    ]
    page = environment().get_template("page.html")
    return page.render(title="Champion and challenger", verdicts=verdicts, sections=sections)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
