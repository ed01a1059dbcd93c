"""Claims about the Minter: what an image depends on, and which folders it refuses."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from remint.core.fingerprint import model_fingerprint
from remint.generator.generator import CARD, DISCRIMINATOR_WEIGHTS, FORMAT, WEIGHTS, Minter
from remint.generator.networks.catalogue import (
    GeneratorConfig,
    build_discriminator,
    build_generator,
)
from remint.networks.weights import network_note, save_network

NETWORK = GeneratorConfig("conv", 8, 8, 4, 8, 1.0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with an untrained generator of three classes."""
    folder = tmp_path / "model"
    folder.mkdir()
    torch.manual_seed(0)
    discriminator = build_discriminator(NETWORK, 3, 16, 3)
    assert discriminator is not None
    save_file(build_generator(NETWORK, 3, 16, 3).state_dict(), folder / WEIGHTS)
    save_file(discriminator.state_dict(), folder / DISCRIMINATOR_WEIGHTS)
    card = {"format": FORMAT, "channels": 3, "size": 16, "class_names": ["a", "b", "c"]}
    (folder / CARD).write_text(json.dumps({**card, "network": vars(NETWORK)}))
    return folder


def claim(folder: Path, **facts: object) -> None:
    """Let the card speak of another network, or of other images."""
    card = json.loads((folder / CARD).read_text())
    for name, value in facts.items():
        (card if name in card else card["network"])[name] = value
    (folder / CARD).write_text(json.dumps(card))


def test_an_image_depends_on_its_own_seed_and_label_alone(model: Path) -> None:
    minter = Minter.load(model, device="cpu")
    labels, seeds = np.array([0, 1, 2] * 30), np.arange(90)
    whole = minter.mint(labels, seeds)
    alone = minter.mint(labels[77:78], seeds[77:78])[0]
    assert np.array_equal(whole[77], alone)
    assert (whole[77] != minter.mint(labels[77:78], seeds[77:78] + 1)[0]).any()
    assert whole.shape == (90, 16, 16, 3) and whole.dtype == np.uint8


def test_a_flow_s_card_from_before_there_was_a_choice_samples_as_heun(tmp_path: Path) -> None:
    network = GeneratorConfig("flow", 8, 8, 64, 4, 1.0, "heun")
    save_file(build_generator(network, 1, 8, 2).state_dict(), tmp_path / WEIGHTS)
    card = {"format": FORMAT, "channels": 1, "size": 8, "class_names": ["a", "b"]}
    solvers = {}
    for name, left_out in (("silent", ("solver",)), ("heun", ()), ("adams", ())):
        values = {k: v for k, v in vars(network).items() if k not in left_out}
        values |= {"solver": "adams"} if name == "adams" else {}
        (tmp_path / CARD).write_text(json.dumps({**card, "network": values}))
        solvers[name] = Minter.load(tmp_path, device="cpu").network.solver
    assert solvers == {"silent": "heun", "heun": "heun", "adams": "adams"}


def test_seeds_give_independent_standard_normal_latents(model: Path) -> None:
    latents = Minter.load(model, device="cpu").latents(np.arange(4000))
    assert latents.mean(0).abs().max() < 0.06 and (latents.std(0) - 1).abs().max() < 0.06
    assert (torch.corrcoef(latents.T) - torch.eye(4)).abs().max() < 0.06


def test_the_fingerprint_is_that_of_the_folders_weights(model: Path) -> None:
    first = Minter.load(model, device="cpu").fingerprint
    assert model_fingerprint(model) == first
    weights = load_file(model / WEIGHTS)
    save_file({name: tensor + 1 for name, tensor in weights.items()}, model / WEIGHTS)
    assert Minter.load(model, device="cpu").fingerprint != first


def test_logits_come_from_the_discriminator_and_leaves_it_as_it_was(model: Path) -> None:
    minter = Minter.load(model, device="cpu")
    images = minter.mint(np.zeros(70, int), np.arange(70))
    logits = minter.logits(images, np.zeros(70, int))
    assert logits is not None and logits.shape == (70,) and np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (lambda folder: (folder / CARD).unlink(), "found no generator.json"),
        (lambda folder: (folder / CARD).write_text("{"), "is not readable JSON"),
        (lambda folder: (folder / CARD).write_text('{"format": 99}'), "found format 99, needed 1"),
        (lambda folder: claim(folder, width=10**18), "network.width: found 10{18}, needed 4096"),
        (lambda folder: claim(folder, latent="x"), "describes no network"),
        (lambda folder: claim(folder, channels=10**9), r"json: channels: found 10{9}, needed 4"),
        (lambda folder: claim(folder, class_names=None), "describes no network"),
        (lambda folder: (folder / CARD).write_text("[]"), "found format None"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"no"), "can't be used as this model's"),
        (
            lambda folder: torch.save({"x": print}, folder / WEIGHTS),
            "can't be used as this model's",
        ),
        (lambda folder: os.truncate(folder / WEIGHTS, 900), "can't be used as this model's"),
        (lambda folder: (folder / DISCRIMINATOR_WEIGHTS).unlink(), "can't be used as this model's"),
    ],
)
def test_a_folder_that_holds_no_whole_generator_is_refused(model, broken, sentence: str) -> None:
    broken(model)
    with pytest.raises(ValueError, match=sentence):
        Minter.load(model, device="cpu")


def test_a_flipped_bit_in_a_models_folder_is_found(model: Path) -> None:
    file = model / WEIGHTS
    save_network(file, Minter.load(model, device="cpu").network, "a note")
    assert network_note(file) == "a note"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1  # of the least digits of a number
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights \(it is not what was written"):
        Minter.load(model, device="cpu")


def test_weights_and_answers_that_are_not_finite_are_errors_and_no_black_images(
    model: Path,
) -> None:
    minter = Minter.load(model, device="cpu")
    with torch.no_grad():
        next(minter.network.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match="answer holds values that are not finite"):
        minter.mint(np.array([0]), np.array([1]))
    save_network(model / WEIGHTS, minter.network)
    with pytest.raises(ValueError, match=r"weights \(it holds values that are not finite"):
        Minter.load(model, device="cpu")


def test_a_label_that_is_no_class_is_refused(model: Path) -> None:
    with pytest.raises(ValueError, match="found 3, needed 0 to 2"):
        Minter.load(model, device="cpu").mint(np.array([0, 3]), np.array([0, 1]))
