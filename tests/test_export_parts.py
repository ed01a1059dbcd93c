"""Parts of an export: what was made of it is not made again, unless it would come out otherwise."""

import os
import shutil
import signal
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from remint.classifier.teacher import Teacher
from remint.export import minting, reals
from remint.export.filtering import Confidence
from remint.export.filters import Finding, MintedBatch
from remint.generator.generator import Minter
from tests.test_evaluate_restorer import quiet_tracking
from tests.test_mint import SECTION, home, run_stage

__all__ = ["home", "quiet_tracking"]
pytestmark = pytest.mark.usefixtures("quiet_tracking")
BATCH = 4
PILOT = 2  # batches, one a class, before the first that is exported
MINT = Minter.mint


class Noting:
    """Mints and notes each batch by its first seed; strikes: the fourth ends it."""

    def __init__(self, folder: Path, strikes: str = "") -> None:
        self.noted, self.strikes = folder / "noted", strikes

    def install(self) -> None:
        def mint(minter: Minter, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
            with self.noted.open("a") as file:
                file.write(f"{seeds[0]}\n")
            if self.strikes and len(self.noted.read_text().split()) == PILOT + 2:
                if self.strikes == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise KeyboardInterrupt
            return MINT(minter, labels, seeds)

        minting.BATCH = BATCH
        Minter.mint = mint  # type: ignore[method-assign]

    def since(self) -> list[str]:
        """Return the batches minted since this was asked last."""
        told = self.noted.read_text().split() if self.noted.exists() else []
        self.noted.unlink(missing_ok=True)
        return told


def killed(folder: Path) -> None:
    Noting(folder, "kill").install()
    run_stage(folder)


@pytest.fixture
def noting(home: Path, monkeypatch: pytest.MonkeyPatch) -> Noting:
    monkeypatch.setattr(minting, "BATCH", BATCH)  # puts both back in the end
    monkeypatch.setattr(Minter, "mint", MINT)
    noting = Noting(home)
    noting.install()
    return noting


def interrupt(home: Path, noting: Noting) -> list[Path]:
    """Run the stage until three batches are minted and one is begun; return the files of them."""
    noting.strikes = "interrupt"
    with suppress(KeyboardInterrupt):
        run_stage(home)
    noting.strikes = ""
    noting.since()
    return sorted(home.glob(".synthetic.minted.*.parts/*"), key=lambda path: path.stat().st_mtime)


def minted_batches(parts: list[Path]) -> list[Path]:
    return [path for path in parts if path.name.count(".") == 1 and path.suffix == ".parquet"]


def outcome(home: Path) -> dict[str, bytes]:
    """Return the bytes of all that the stage leaves, and take it away; nothing of it is hidden."""
    assert not [path for path in home.iterdir() if path.name.startswith(".")]
    folders = [home / "synthetic", home / "report"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    told = {str(path.relative_to(home)): path.read_bytes() for path in files}
    for folder in folders:
        shutil.rmtree(folder)
    return told


def test_a_killed_export_goes_on_after_the_images_that_it_minted(
    home: Path, noting: Noting
) -> None:
    process = get_context("spawn").Process(target=killed, args=(home,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not (home / "synthetic").exists()
    begun = noting.since()
    run_stage(home)
    gone_on_with, again = noting.since(), outcome(home)
    run_stage(home)
    whole = noting.since()
    assert len(begun) == PILOT + 2 and whole == begun[:-1] + gone_on_with
    assert again == outcome(home)


def flip_a_bit(part: Path) -> None:
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    part.write_bytes(data)


def test_a_flipped_bit_costs_its_batch(home: Path, noting: Noting) -> None:
    *_, part = minted_batches(interrupt(home, noting))
    flip_a_bit(part)
    run_stage(home)
    gone_on_with, again = noting.since(), outcome(home)
    run_stage(home)
    assert gone_on_with == noting.since()[PILOT:]
    assert again == outcome(home)


def test_images_of_another_model_or_of_other_settings_are_never_used_and_go(
    home: Path, noting: Noting
) -> None:
    assert len(minted_batches(interrupt(home, noting))) == PILOT + 1
    seeded = {"export_synthetic": {**SECTION, "seed": 6}}
    YAML().dump(seeded, home / "params.yaml")
    assert len(minted_batches(interrupt(home, noting))) == PILOT + 1
    card = (home / "model" / "generator.json").read_text()
    (home / "model" / "generator.json").write_text(
        card.replace('"images_seen": 10', '"images_seen": 11')
    )
    run_stage(home)
    gone_on_with, _ = noting.since(), outcome(home)
    run_stage(home)
    assert gone_on_with == noting.since()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what was trained or asked of a classifier, in order; emptied by who has looked."""
    done: list[str] = []
    train, ask = reals.train_teacher, Confidence.__call__

    def trained(*given: Any) -> Teacher:
        done.append("trained")
        return train(*given)

    def found(confidence: Confidence, batch: MintedBatch) -> Finding:
        done.append("asked")
        return ask(confidence, batch)

    monkeypatch.setattr(reals, "train_teacher", trained)
    monkeypatch.setattr(Confidence, "__call__", found)
    return done


def test_a_killed_export_trains_and_asks_its_classifier_no_second_time(
    home: Path, noting: Noting, asked: list[str]
) -> None:
    interrupt(home, noting)
    assert asked == ["trained", "asked"]
    asked.clear()
    run_stage(home)
    gone_on_with, again = asked.copy(), outcome(home)
    asked.clear()
    run_stage(home)
    assert ["trained", "asked", *gone_on_with] == asked
    assert again == outcome(home)


@pytest.mark.parametrize(
    ("kind", "kept"), [("classifier-*", ["asked"]), ("*.confidence.*", ["trained"])]
)
def test_what_has_suffered_is_made_again(
    home: Path, noting: Noting, asked: list[str], kind: str, kept: list[str]
) -> None:
    (part,) = [path for path in interrupt(home, noting) if path.match(kind)]
    flip_a_bit(part)
    asked.clear()
    run_stage(home)
    gone_on_with, again = asked.copy(), outcome(home)
    asked.clear()
    run_stage(home)
    assert sorted([*kept, *gone_on_with]) == sorted(asked)
    assert again == outcome(home)
