"""Champion and challenger: may the model that was just trained take the champion's place?

`python -m tasks.promotion.promote restorer` registers the model as challenger, compares it with the
champion on the same images by the rules of params.yaml's section `promote`, and says why.
`--rollback` makes the champion before this one champion again; `--show` lists what is registered.
"""

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from remint.core.fingerprint import model_fingerprint
from remint.generator import generator
from remint.restorer import restorer
from tasks.promotion import figures, page
from tasks.promotion.registry import ALIASES, Registry, RegistryError, Version
from tasks.promotion.rules import PromoteConfig, Ruling
from tasks.stage import params, stage
from tasks.stage.console import say

CHAMPION, CHALLENGER, PREVIOUS = ALIASES
DECISION, ROLLED_BACK = "decision", "rolled back"
READERS = {"restorer": restorer.read_card, "generator": generator.read_card}
SETTINGS = ("default_interpolation", "network")  # of a model's card, by which it answers


def main(argv: Sequence[str] | None = None) -> None:
    """Promote, roll back or show; see --help."""
    parser = argparse.ArgumentParser(
        prog="python -m tasks.promotion.promote",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=["restorer", "generator"])
    _add_paths(parser)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--rollback", action="store_true", help="the previous champion again")
    action.add_argument("--show", action="store_true", help="list versions, aliases and reasons")
    given = parser.parse_args(argv)
    registry = Registry(given.name)
    if given.show:
        show(registry)
        return
    given.cache.mkdir(parents=True, exist_ok=True)
    with FileLock(given.cache / "lock"):  # of two who promote at once both could win
        told = roll_back(registry) if given.rollback else promote(registry, _paths(given))
        publish(registry, told, given.reports)
    for line in told["reasons"]:
        say(f"- {line}")
    say(told["verdict"])


def _add_paths(parser: argparse.ArgumentParser) -> None:
    for name, default, help_text in (
        ("models", "data/models", "folder of the trained models"),
        ("clean", "data/clean", "the clean set"),
        ("corrupted", "data/corrupted", "its damaged pairs"),
        ("reports", "data/reports", "reports of the models; the decision is written there"),
        ("cache", "data/cache/promotion", "keeps figures of former models"),
        ("params", "params.yaml", "holds the rules"),
    ):
        parser.add_argument(f"--{name}", type=Path, default=Path(default), help=help_text)


def _paths(given: argparse.Namespace) -> figures.Paths:
    names = ("clean", "corrupted", "reports", "cache", "params")
    return figures.Paths(given.models / given.name, **{key: getattr(given, key) for key in names})


def promote(registry: Registry, paths: figures.Paths) -> dict[str, Any]:
    """Rule on the model, act on it and return what was ruled and why."""
    config = params.load("promote", PromoteConfig, paths.params)
    fingerprint = model_fingerprint(paths.model)
    champion = registry.find(CHAMPION)
    if champion is not None and champion.fingerprint == fingerprint:
        return _told(registry, champion, None, _same_weights(registry, paths.model))
    figures.check_reports(registry.name, paths)
    example = figures.example(registry.name, paths)
    tags = {f"data.{key}": value for key, value in figures.data(registry.name, paths).items()}
    challenger = registry.register(paths.model, example, tags)
    if challenger.tags.get(DECISION) == ROLLED_BACK:
        undone = "another --rollback undoes that while it is the version before the champion"
        reasons = [f"it was rolled back by hand, so it stays back; {undone}"]
        return _told(registry, challenger, Ruling(False, reasons), reasons, champion)
    registry.point(CHALLENGER, challenger)
    ruling = figures.decide(registry, champion, paths, config)
    return _act(registry, champion, challenger, ruling)


def _same_weights(registry: Registry, model: Path) -> list[str]:
    """Return why a model stays what it is whose weights are the champion's; settings may differ."""
    read_card = READERS[registry.name]
    old, new = read_card(registry.folder(CHAMPION)), read_card(model)
    differing = [key for key in SETTINGS if old.get(key) != new.get(key)]
    reasons = ["these weights are the champion's own"]
    if differing:
        reasons.append(
            f"its {' and '.join(differing)} differs, which is not taken over: a version is known "
            "by its weights"
        )
    return reasons


def _act(
    registry: Registry, champion: Version | None, challenger: Version, ruling: Ruling
) -> dict[str, Any]:
    """Move the aliases as ruled, and write the reasons to the registry."""
    verdict = "promoted" if ruling.promoted else "kept back"
    registry.tag(challenger, DECISION, verdict)
    registry.tag(challenger, "reasons", "; ".join(ruling.reasons))
    registry.tag(challenger, "decided", datetime.now(UTC).isoformat(timespec="seconds"))
    if ruling.promoted:
        if champion is not None:
            registry.point(PREVIOUS, champion)
        registry.point(CHAMPION, challenger)
        registry.point(CHALLENGER, None)
    return _told(registry, challenger, ruling, ruling.reasons, champion)


def _told(
    registry: Registry,
    version: Version,
    ruling: Ruling | None,
    reasons: Sequence[str],
    champion: Version | None = None,
) -> dict[str, Any]:
    """Return what the page tells of a ruling; None: there was nothing to rule on."""
    name = registry.name
    if ruling is None:
        verdict = f"version {version.number} of the {name} stays champion"
    elif ruling.promoted:
        verdict = f"version {version.number} of the {name} is now champion"
    else:
        kept = champion.number if champion else "none"
        verdict = f"version {version.number} of the {name} is kept back; champion: {kept}"
    return {
        "model": name,
        "version": version.number,
        "fingerprint": version.fingerprint,
        "promoted": bool(ruling and ruling.promoted),
        "verdict": verdict,
        "reasons": list(reasons),
        "figures": dict(ruling.figures) if ruling else {},
    }


def publish(registry: Registry, told: Mapping[str, Any], reports: Path) -> None:
    """Write the ruling, and the page of all rulings, beside the reports."""
    versions = [page.row(known) for known in registry.versions()]
    stage.write_json(reports / f"promotion-{registry.name}.json", {**told, "versions": versions})
    page.write(reports)


def roll_back(registry: Registry) -> dict[str, Any]:
    """Make the previous champion champion again, and this one the previous.

    What was rolled back is not promoted again, since the rules would find it better as before.
    """
    champion, previous = registry.find(CHAMPION), registry.find(PREVIOUS)
    if champion is None or previous is None:
        raise RegistryError(
            f"{registry.registered} has no champion before this one, so there is nothing to go "
            "back to; see --show"
        )
    registry.point(CHAMPION, previous)
    registry.point(PREVIOUS, champion)
    registry.tag(champion, DECISION, ROLLED_BACK)
    registry.tag(previous, DECISION, "promoted")
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
