"""Champion and challenger: may the model that was just trained take the champion's place?

`python -m tasks.promotion.promote restorer` registers the model as challenger, compares it with the
champion on the same images by the rules of params.yaml's section `promote`, and says why.
`--rollback` makes the champion before this one champion again; `--show` lists what is registered.
"""

import argparse
import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from remint.core.fingerprint import model_fingerprint
from tasks.promotion import figures, page
from tasks.promotion.registry import ALIASES, Registry, RegistryError, Version
from tasks.promotion.rules import PromoteConfig, Ruling
from tasks.stage import params, stage
from tasks.stage.console import say

LOCK = Path(".dvc/tmp/remint-promotion.lock")
REPORTS = Path("data/reports")
CHAMPION, CHALLENGER, PREVIOUS = ALIASES


def main(argv: Sequence[str] | None = None) -> None:
    """Promote, roll back or show; see --help."""
    parser = argparse.ArgumentParser(
        prog="python -m tasks.promotion.promote",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=["restorer", "generator"])
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--rollback", action="store_true", help="the previous champion again")
    action.add_argument("--show", action="store_true", help="list versions, aliases and reasons")
    given = parser.parse_args(argv)
    registry = Registry(given.name)
    if given.show:
        show(registry)
        return
    with _alone():
        decision = roll_back(registry) if given.rollback else promote(registry, given.params)
    for line in decision["reasons"]:
        say(f"- {line}")
    say(decision["verdict"])


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until nobody else in this checkout promotes: two could both win."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def promote(registry: Registry, params_path: Path) -> dict[str, Any]:
    """Decide on the model in data/models, act on it and return what was decided and why."""
    config = params.load("promote", PromoteConfig, params_path)
    name, folder = registry.name, Path("data/models") / registry.name
    fingerprint = model_fingerprint(folder)
    champion = registry.find(CHAMPION)
    if champion is not None and champion.fingerprint == fingerprint:
        return _told(registry, champion, None, ["these weights are the champion's own"])
    example = figures.example(name, folder)
    tags = {f"data.{key}": value for key, value in figures.data(name).items()}
    challenger = registry.register(folder, example, tags)
    registry.point(CHALLENGER, challenger)
    decision = figures.decide(registry, champion, folder, config)
    return _act(registry, champion, challenger, decision)


def _act(
    registry: Registry, champion: Version | None, challenger: Version, decision: Ruling
) -> dict[str, Any]:
    """Move the aliases as decided, and write the reasons to the registry."""
    verdict = "promoted" if decision.promoted else "kept back"
    registry.tag(challenger, "decision", verdict)
    registry.tag(challenger, "reasons", "; ".join(decision.reasons))
    registry.tag(challenger, "decided", datetime.now(UTC).isoformat(timespec="seconds"))
    if decision.promoted:
        if champion is not None:
            registry.point(PREVIOUS, champion)
        registry.point(CHAMPION, challenger)
        registry.point(CHALLENGER, None)
    return _told(registry, challenger, decision, decision.reasons, champion)


def _told(
    registry: Registry,
    version: Version,
    decision: Ruling | None,
    reasons: Sequence[str],
    champion: Version | None = None,
) -> dict[str, Any]:
    """Write the decision and the page of all decisions beside the reports, and return it."""
    name = registry.name
    if decision is None:
        verdict = f"version {version.number} of the {name} stays champion"
    elif decision.promoted:
        verdict = f"version {version.number} of the {name} is now champion"
    else:
        kept = champion.number if champion else "none"
        verdict = f"version {version.number} of the {name} is kept back; champion: {kept}"
    told = {
        "model": name,
        "version": version.number,
        "fingerprint": version.fingerprint,
        "promoted": bool(decision and decision.promoted),
        "verdict": verdict,
        "reasons": list(reasons),
        "figures": dict(decision.figures) if decision else {},
        "versions": [page.row(known) for known in registry.versions()],
    }
    stage.write_json(REPORTS / f"promotion-{name}.json", told)
    page.write(REPORTS)
    return told


def roll_back(registry: Registry) -> dict[str, Any]:
    """Make the previous champion champion again, and this one the previous."""
    champion, previous = registry.find(CHAMPION), registry.find(PREVIOUS)
    if champion is None or previous is None:
        raise RegistryError(
            f"{registry.registered} has no champion before this one, so there is nothing to go "
            "back to; see --show"
        )
    registry.point(CHAMPION, previous)
    registry.point(PREVIOUS, champion)
    registry.tag(champion, "decision", "rolled back")
    reasons = [f"rolled back by hand from version {champion.number}"]
    return _told(registry, previous, Ruling(True, reasons), reasons)


def show(registry: Registry) -> None:
    """Print every version with its aliases and why it stands where it stands."""
    versions = registry.versions()
    for told in map(page.row, versions):
        say("{number}  {when}  {standing}: {reasons}".format(**told))
    if not versions:
        say(f"{registry.registered} has no versions yet")


if __name__ == "__main__":
    stage.entry(main)
