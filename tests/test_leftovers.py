"""Closing the runs of killed processes costs no run its opening, and takes no living one for dead.

MLflow's client is a stand-in here; `test_tracking.py` closes a run in a real store.
"""

import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tasks.tracking import leftovers

GONE = f"{leftovers.machine()} 1 0.0"  # process 1 is there, and was not made in 1970


class Store:
    """Runs with these tags are open; the one called `refused` can't be closed."""

    def __init__(self, **tags: str) -> None:
        self.tags = tags
        self.closed: list[str] = []

    def search_runs(self, *_: object) -> list[Any]:
        return [
            SimpleNamespace(
                info=SimpleNamespace(run_id=name),
                data=SimpleNamespace(tags={leftovers.TAG: tag}),
            )
            for name, tag in self.tags.items()
        ]

    def set_terminated(self, name: str, status: str) -> None:
        assert status == "KILLED"
        if name == "refused":
            raise RuntimeError("somebody was quicker")
        self.closed.append(name)


def closed(store: Any) -> list[str]:
    leftovers.close_killed(store, "1")
    return list(store.closed)


def test_a_run_that_cant_be_closed_keeps_no_other_one_open() -> None:
    malformed = {"short": "here", "empty": "", "words": "here no numbers"}
    assert closed(Store(**malformed, refused=GONE, gone=GONE)) == ["gone"]


def test_a_search_that_fails_costs_nothing() -> None:
    class Broken(Store):
        def search_runs(self, *_: object) -> list[Any]:
            raise RuntimeError("no such column")

    assert closed(Broken(gone=GONE)) == []


@pytest.mark.parametrize(
    ("error", "ended"),
    [(psutil.AccessDenied(1), []), (psutil.Error(), []), (psutil.NoSuchProcess(1), ["a"])],
)
def test_only_a_process_that_is_not_there_counts_as_gone(
    monkeypatch: pytest.MonkeyPatch, error: psutil.Error, ended: list[str]
) -> None:
    def refuse(_: int) -> None:
        raise error

    monkeypatch.setattr(psutil, "Process", refuse)
    assert closed(Store(a=GONE)) == ended


def test_where_nobody_can_tell_the_process_a_run_carries_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "Process", refuse)
    assert leftovers.holder() == {}


def test_a_machine_without_a_network_card_is_the_same_to_each_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = leftovers.machine()
    monkeypatch.setattr(uuid, "getnode", lambda: 1)  # without a card it is drawn by chance
    assert leftovers.machine() == here


def test_a_container_is_told_by_the_start_of_its_machine_and_others_by_what_outlives_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("INSTALLED", "BOOTED", "SPACE"):
        (tmp_path / name).write_text(f"{name}\n")
        monkeypatch.setattr(leftovers, name, tmp_path / name)
    assert "-BOOTED-" in leftovers.machine()
    monkeypatch.setattr(leftovers, "FIRST", (tmp_path / "SPACE").stat().st_ino)
    assert "-INSTALLED-" in leftovers.machine()
    (tmp_path / "INSTALLED").write_text("")
    assert "-BOOTED-" in leftovers.machine()
