"""Claims about the restorers that come with the package, used without a training of one's own."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from remint.core.randomness import generator
from remint.corruptions.registry import corrupt
from remint.metrics.pixels import psnr_score
from remint.restorer import shipped
from remint.restorer.doubt import Doubt
from remint.restorer.restorer import Restorer
from remint.restorer.tiling import restore_image
from remint.restorer_evaluation.coverage import coverage_of
from tasks.commands import cli
from tasks.stage import params

MEGABYTES = 12  # all of them together, at most
SIZE = 2**20


def photograph(channels: int) -> np.ndarray:
    """A part of a photograph that training did not see, uint8 [256, 256, channels]."""
    crop = data.astronaut()[20:276, 90:346]
    return crop if channels == 3 else cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[:, :, None]


def pair(channels: int, kind: str, severity: float) -> tuple[np.ndarray, np.ndarray]:
    clean = photograph(channels)
    return clean, corrupt(clean, kind, severity, generator(0, "test", kind)).image


def gain(name: str, kind: str, severity: float) -> float:
    restorer = Restorer.load(shipped.FOLDER / name, device="cpu")
    clean, damaged = pair(restorer.channels, kind, severity)
    restored = restore_image(restorer, damaged, 512, 64)
    return psnr_score(restored, clean) - psnr_score(damaged, clean)


def test_there_is_one_for_grey_and_one_for_colour_and_they_are_small() -> None:
    assert {shipped.card(name)["channels"] for name in shipped.names()} == {1, 3}
    files = [file for file in shipped.FOLDER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= MEGABYTES * SIZE


@pytest.mark.parametrize("name", shipped.names())
@pytest.mark.parametrize(
    ("kind", "severity", "least"),
    [
        ("plain_noise", 2, 6),
        ("plain_noise", 5, 9),
        ("sensor_noise", 3, 3),
        ("shared_jpeg", 4.5, 0.5),
    ],
)
def test_they_restore_a_photograph_without_being_told_the_damage(
    name: str, kind: str, severity: float, least: float
) -> None:
    assert gain(name, kind, severity) > least


@pytest.mark.parametrize("name", shipped.names())
def test_they_leave_a_clean_photograph_nearly_as_it_is(name: str) -> None:
    restorer = Restorer.load(shipped.FOLDER / name, device="cpu")
    clean = photograph(restorer.channels)
    assert psnr_score(restore_image(restorer, clean, 512, 64), clean) > 36


@pytest.mark.parametrize("name", shipped.names())
@pytest.mark.parametrize(("kind", "severity"), [("sensor_noise", 3), ("shared_jpeg", 3)])
def test_their_maps_of_doubt_hold_and_are_wide_where_there_is_something_to_miss(
    name: str, kind: str, severity: float
) -> None:
    restorer = Restorer.load(shipped.FOLDER / name, device="cpu")
    doubt = Doubt.load(shipped.FOLDER / name, restorer)
    clean, damaged = pair(restorer.channels, kind, severity)
    restored = restore_image(restorer, damaged, 512, 64)
    figures = coverage_of(doubt, damaged, restored, clean)
    assert figures["doubt_covered_quarter"] >= 1 - shipped.card(name)["doubt"]["alpha"]
    assert figures["doubt_levels_quarter"] > 1.5 * figures["doubt_levels"]


def test_a_folder_of_models_gives_the_one_for_the_channels(tmp_path: Path) -> None:
    for channels in (1, 3):
        assert shipped.card(shipped.suited(shipped.FOLDER, channels).name)["channels"] == channels
    one = shipped.FOLDER / "photo-grey"
    assert shipped.suited(one, 3) == one
    with pytest.raises(ValueError, match="none of photo-colour, photo-grey is for images of 2"):
        shipped.suited(shipped.FOLDER, 2)


def test_restore_takes_them_by_channels_where_nothing_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, channels in (("grey.png", 1), ("colour.png", 3)):
        noisy = corrupt(photograph(channels), "plain_noise", 4, generator(0, "test", name)).image
        Path("in").mkdir(exist_ok=True)
        Image.fromarray(noisy.squeeze()).save(Path("in") / name)
    cli.main(["restore", "in", "out", "--device", "cpu"])
    for name, channels in (("grey.png", 1), ("colour.png", 3)):
        with Image.open(Path("out") / name) as image:
            restored = np.asarray(image).reshape(256, 256, channels)
        assert psnr_score(restored, photograph(channels)) > 26


def test_models_lists_what_comes_with_the_package_and_what_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.main(["models"])
    assert capsys.readouterr().out.splitlines()[0].startswith("photo-colour: photographs in colour")
    Path("data/models/restorer").mkdir(parents=True)
    Path("data/models/restorer/restorer.json").write_text("{}")
    cli.main(["models"])
    assert capsys.readouterr().out.startswith("data/models/restorer: the one trained here")


def test_a_training_may_start_from_them_by_name(root: Path) -> None:
    for name in ("shipped", *shipped.names()):
        model = shipped.suited(root / "data/start" / name, 1 if "grey" in name else 3)
        assert model.resolve().parent == shipped.FOLDER


def test_presets_that_begin_with_them_ask_for_their_network(root: Path) -> None:
    files = (root / "tasks/commands/presets").glob("*.yaml")
    trainings = {file.stem: params.read(file)["train_restorer"] for file in files}
    begun = {
        n: t["network"]
        for n, t in trainings.items()
        if t.get("start", {}).get("model") == "shipped"
    }
    assert {"everyday", "folder", "photos"} <= set(begun)
    for name in shipped.names():
        theirs = shipped.card(name)["network"]
        for preset, network in begun.items():
            assert {**network, "sharpening": 0} == {"sharpening": 0, **theirs}, (preset, name)
