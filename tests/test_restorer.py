"""Claims about a trained restorer on disk: what loads, what blends, what is refused."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from remint.core.arrays import to_tensor, to_uint8
from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.restorer import ADVERSARIAL, FIDELITY, Restorer, save_card, save_weights
from tasks.serving import served_restorer
from tasks.serving.base64_images import decode, encode

NETWORK = NetworkConfig("nafnet", 8, (1,), 1, 2, 3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for seed, stage in enumerate((FIDELITY, ADVERSARIAL)):
        torch.manual_seed(seed)
        save_weights(tmp_path, stage, build_network(NETWORK, 1))
    card = {"network": asdict(NETWORK), "channels": 1, "default_interpolation": 0.5}
    save_card(tmp_path, card)
    return tmp_path


def weight(model: Path, share: float | None) -> torch.Tensor:
    restorer = Restorer.load(model, interpolation=share, device="cpu")
    return restorer.network.state_dict()["intro.weight"]


def test_the_knob_goes_from_one_stage_to_the_other(model: Path) -> None:
    middle = (weight(model, 0.0) + weight(model, 1.0)) / 2
    torch.testing.assert_close(weight(model, 0.5), middle)
    torch.testing.assert_close(weight(model, None), middle)
    assert not torch.equal(weight(model, 0.0), weight(model, 1.0))


def test_images_of_any_size_come_back_at_their_size(model: Path) -> None:
    restorer = Restorer.load(model, device="cpu")
    for size in ((1, 1), (5, 31), (28, 28)):
        assert restorer(torch.zeros(2, 1, *size)).shape == (2, 1, *size)


def test_a_batch_s_company_changes_no_image(model: Path) -> None:
    restorer = Restorer.load(model, device="cpu")
    batch = torch.rand(4, 1, 16, 16)
    torch.testing.assert_close(restorer(batch)[2:3], restorer(batch[2:3]), atol=1e-5, rtol=0)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found no restorer\.json"):
        Restorer.load(tmp_path)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_knob_out_of_range_is_refused(model: Path, share: float) -> None:
    with pytest.raises(ValueError, match=r"needed 0 \(fidelity\) to 1"):
        Restorer.load(model, interpolation=share)


def test_adversarial_weights_that_were_never_trained_are_not_made_up(model: Path) -> None:
    (model / "adversarial.safetensors").unlink()
    with pytest.raises(ValueError, match="no adversarial weights"):
        Restorer.load(model)


def test_a_pickle_offered_as_weights_is_never_loaded(model: Path) -> None:
    torch.save({"x": print}, model / "fidelity.safetensors")
    with pytest.raises(ValueError, match="can't be used as weights"):
        Restorer.load(model, interpolation=0.0)


def test_truncated_weights_are_refused(model: Path) -> None:
    path = model / "fidelity.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="can't be used as weights"):
        Restorer.load(model, interpolation=0.0)


def test_a_flipped_bit_in_a_restorers_folder_is_found(model: Path) -> None:
    path = model / "fidelity.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1  # of the least digits of a number
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not what was written"):
        Restorer.load(model, interpolation=0.0)


@pytest.mark.parametrize(
    "card", ["[]", '{"format": 1}', '{"format": 1, "network": {"width": "8"}}']
)
def test_a_card_that_somebody_edited_is_refused(model: Path, card: str) -> None:
    (model / "restorer.json").write_text(card)
    with pytest.raises(ValueError, match=r"restorer\.json"):
        Restorer.load(model)


def test_a_card_of_a_boundless_network_is_refused_before_it_is_built(model: Path) -> None:
    card = json.loads((model / "restorer.json").read_text())
    card["network"] |= {"name": "dncnn", "depth": 10**8}
    (model / "restorer.json").write_text(json.dumps(card))
    sentence = r"restorer\.json: network\.depth: found 100000000, needed 100 or less"
    with pytest.raises(ValueError, match=sentence):
        Restorer.load(model, interpolation=0.0)


def test_weights_that_are_not_finite_are_refused(model: Path) -> None:
    network = build_network(NETWORK, 1)
    network.intro.weight.data[0] = torch.nan
    save_weights(model, FIDELITY, network)
    with pytest.raises(ValueError, match=r"not finite: intro\.weight"):
        Restorer.load(model, interpolation=0.0)


def test_weights_of_another_network_are_refused(model: Path) -> None:
    card = json.loads((model / "restorer.json").read_text())
    card["network"]["width"] = 16
    (model / "restorer.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="do not fit the network"):
        Restorer.load(model, interpolation=0.0)


def test_pixels_survive_the_way_in_and_out() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    tensor = to_tensor(pixels)
    assert tensor.shape == (1, 3, 16, 16) and tensor.min() == -1 and tensor.max() == 1
    assert (to_uint8(tensor) == pixels).all()


def test_bf16_gives_float32_that_is_nearly_the_same(model: Path) -> None:
    batch = torch.rand(1, 1, 24, 20) * 2 - 1
    exact = Restorer.load(model, device="cpu")(batch)
    rounded = Restorer.load(model, device="cpu", precision="bf16")(batch)
    assert rounded.dtype == torch.float32 and not torch.equal(exact, rounded)
    assert (exact - rounded).abs().max() < 0.02


@pytest.mark.parametrize(("name", "expected"), [("plain_unet", "bf16"), ("nafnet", "fp32")])
def test_auto_takes_bf16_for_dense_residuals_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    config = NetworkConfig(name, 4, (1,), 1, 1, 3)
    card = {"network": asdict(config), "channels": 1}
    made = Restorer(build_network(config, 1), card, torch.device("cpu"), "auto")
    assert made.precision == expected


def sharpening_by(orders: int) -> Restorer:
    network = NetworkConfig("plain_unet", 4, (1,), 1, 2, 3, sharpening=orders)
    card = {"channels": 1, "network": asdict(network)}
    return Restorer(build_network(network, 1), card, torch.device("cpu"))


def test_tiles_share_more_where_what_sharpens_looks_farther_around() -> None:
    asked = ((512, None), (64, None), (512, 8))
    overlaps = [[sharpening_by(n).overlap(*each) for each in asked] for n in (0, 2)]
    assert overlaps == [[64, 31, 8], [112, 31, 8]]


def test_a_served_model_is_asked_too_how_far_its_tiles_overlap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiles = []

    def noting(_: Restorer, image: np.ndarray, tile: int, overlap: int) -> np.ndarray:
        tiles.append((tile, overlap))
        return image

    monkeypatch.setattr(served_restorer, "restore_image", noting)
    served = served_restorer.ServedRestorer()
    served.restorer = sharpening_by(2)
    grey = np.full((8, 8, 1), 9, np.uint8)
    made = served.predict(None, pd.DataFrame({"image": [encode(grey)]}))
    assert tiles == [(512, 112)] and (decode(made["image"][0]) == grey).all()
