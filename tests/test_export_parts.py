"""Parts of an export: what was minted is not minted again, unless it would look otherwise."""

import os
import shutil
import signal
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from remint.export import minting
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


def test_a_flipped_bit_costs_its_batch(home: Path, noting: Noting) -> None:
    *_, part = interrupt(home, noting)
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    part.write_bytes(data)
    run_stage(home)
    gone_on_with, again = noting.since(), outcome(home)
    run_stage(home)
    assert gone_on_with == noting.since()[PILOT:]
    assert again == outcome(home)


def test_images_of_another_model_or_of_other_settings_are_never_used_and_go(
    home: Path, noting: Noting
) -> None:
    assert len(interrupt(home, noting)) == PILOT + 1
    seeded = {"export_synthetic": {**SECTION, "seed": 6}}
    YAML().dump(seeded, home / "params.yaml")
    assert len(interrupt(home, noting)) == PILOT + 1
    card = (home / "model" / "generator.json").read_text()
    (home / "model" / "generator.json").write_text(
        card.replace('"images_seen": 10', '"images_seen": 11')
    )
    run_stage(home)
    gone_on_with, _ = noting.since(), outcome(home)
    run_stage(home)
    assert gone_on_with == noting.since()
