"""`remint export-model`: what runs without torch answers as torch does, at any size."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from remint.generator.generator import CARD, DISCRIMINATOR_WEIGHTS, FORMAT, WEIGHTS, Minter
from remint.generator.networks.catalogue import (
    GeneratorConfig,
    build_discriminator,
    build_generator,
    chosen,
)
from remint.networks import onnx_file
from remint.restorer import shipped
from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.restorer import FIDELITY, Restorer, save_card, save_weights
from tasks.commands import cli, export_model

RESTORERS = {
    "plain_unet": NetworkConfig("plain_unet", 8, (1,), 1, 2, 3, sharpening=2),
    "nafnet": NetworkConfig("nafnet", 8, (1,), 1, 2, 3),
    "unet": NetworkConfig("unet", 8, (1,), 1, 2, 3),
    "dncnn": NetworkConfig("dncnn", 8, (1,), 1, 2, 3),
}


def filled(network: nn.Module) -> nn.Module:
    """Draw what starts at zero, so that an answer says something."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, 0.0, 0.1)
    return network


def small_restorer(folder: Path, name: str) -> Path:
    network, channels = RESTORERS[name], 3
    save_weights(folder, FIDELITY, filled(build_network(network, channels)))
    card = {"network": asdict(network), "channels": channels, "default_interpolation": 0.0}
    save_card(folder, card)
    return folder


def small_generator(folder: Path, name: str) -> Path:
    network = chosen(GeneratorConfig(name, 8, 8, 4, 3, 1.0, "adams"), 1, 16)  # type: ignore[arg-type]
    save_file(filled(build_generator(network, 1, 16, 3)).state_dict(), folder / WEIGHTS)
    discriminator = build_discriminator(network, 1, 16, 3)
    if discriminator is not None:
        save_file(discriminator.state_dict(), folder / DISCRIMINATOR_WEIGHTS)
    card = {"format": FORMAT, "channels": 1, "size": 16, "class_names": ["a", "b", "c"]}
    (folder / CARD).write_text(json.dumps({**card, "network": asdict(network)}))
    return folder


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", RESTORERS)
def test_a_restorer_answers_as_torch_does_at_sizes_that_were_not_traced(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = small_restorer(tmp_path, name), tmp_path / "m.onnx"
    cli.main(["export-model", str(model), str(out)])
    assert "from torch's answer" in capsys.readouterr().out
    ran, restorer = session(out), Restorer.load(model, device="cpu")
    for shape in ((1, 3, 16, 16), (2, 3, 37, 90), (3, 3, 9, 5)):
        images = torch.rand(shape)
        expected = ((restorer(images * 2 - 1) + 1) / 2).clamp(0, 1).numpy()
        answer = ran.run(None, {"image": images.numpy()})[0]
        assert np.abs(answer - expected).max() < 1e-5 and np.abs(answer - images.numpy()).max() > 0


@pytest.mark.parametrize("name", ["flow", "conv", "article", "vae", "r3"])
def test_a_generator_answers_as_torch_does_for_other_numbers_of_images(
    tmp_path: Path, name: str
) -> None:
    model, out = small_generator(tmp_path, name), tmp_path / "m.onnx"
    cli.main(["export-model", str(model), str(out)])
    ran, minter = session(out), Minter.load(model, device="cpu")
    for count in (1, 4, 7):
        labels, latents = torch.arange(count) % 3, minter.latents(np.arange(count))
        expected = ((minter.network(latents, labels) + 1) / 2).clamp(0, 1).numpy()
        answer = ran.run(None, {"latent": latents.numpy(), "label": labels.numpy()})[0]
        assert np.abs(answer - expected).max() < 1e-5 and answer.std() > 0


def test_a_shipped_model_goes_by_its_name_and_its_card_travels_along(tmp_path: Path) -> None:
    cli.main(["export-model", "photo-grey", str(tmp_path / "m.onnx")])
    about = json.loads(session(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map["remint"])
    assert about["kind"] == "restorer" and about["channels"] == 1
    assert about["card"] == shipped.card("photo-grey")
    assert about["fingerprint"] == Restorer.load(shipped.FOLDER / "photo-grey").fingerprint


@pytest.mark.parametrize("name", ["generator", "remint-generator"])
def test_a_generator_in_the_registry_goes_by_both_its_names(
    tmp_path: Path, monkeypatch, name: str
) -> None:
    asked: list[tuple[str, str]] = []

    def chosen(text: str, kind: str) -> Path:
        asked.append((text, kind))
        raise ValueError("enough")

    monkeypatch.setattr(export_model, "chosen_model", chosen)
    with pytest.raises(SystemExit):
        cli.main(["export-model", f"models:/{name}@champion", str(tmp_path / "m.onnx")])
    assert asked == [(f"models:/{name}@champion", "generator")]


def test_an_answer_far_from_torchs_leaves_no_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_file, "_difference", lambda *_: float("nan"))
    model = small_restorer(tmp_path, "dncnn")
    with pytest.raises(SystemExit):
        cli.main(["export-model", str(model), str(tmp_path / "m.onnx")])
    assert not list(tmp_path.glob("*onnx*"))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["export-model", *words])
    assert ended.value.code == 1
    return capsys.readouterr().err


def test_nothing_is_overwritten_unasked(tmp_path: Path, capsys) -> None:
    (tmp_path / "m.onnx").write_text("mine")
    assert "say --force" in refused(capsys, "photo-grey", str(tmp_path / "m.onnx"))
    assert (tmp_path / "m.onnx").read_text() == "mine"


def test_a_folder_is_no_file_to_write(tmp_path: Path, capsys) -> None:
    told = refused(capsys, "photo-grey", str(tmp_path), "--force")
    assert f"{tmp_path} is a folder; name a file in it" in told


def test_absent_packages_are_named_with_the_command(tmp_path: Path, capsys, monkeypatch) -> None:
    found: Callable[[str], object] = importlib.util.find_spec
    monkeypatch.setattr(
        onnx_file, "find_spec", lambda name: None if name == "onnxruntime" else found(name)
    )
    said = refused(capsys, "photo-grey", str(tmp_path / "m.onnx"))
    assert "needs onnxruntime, which is not" in said and "pip install 'remint[onnx]'" in said
