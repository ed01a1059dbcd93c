"""Claims about a training that starts from a trained restorer."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.restorer import FIDELITY, Restorer, save_card, save_weights
from remint.restorer.starting import take_over
from remint.restorer.train import train_restorer
from remint.training.checkpoint import CheckpointError
from remint.training.starting import StartConfig
from tests.test_training import FIDELITY_ONLY, sets, write_sets

NETWORK = FIDELITY_ONLY.network
STARTED = replace(FIDELITY_ONLY, start=StartConfig("parent", True))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_sets(folder)
    return folder


def parent(folder: Path, seed: int = 0, network: NetworkConfig = NETWORK) -> Restorer:
    """Return a model of random weights, read back from `folder`."""
    folder.mkdir()
    torch.manual_seed(seed)
    save_weights(folder, FIDELITY, build_network(network, 1))
    save_card(folder, {"network": asdict(network), "channels": 1, "default_interpolation": 0.0})
    return Restorer.load(folder, device="cpu")


def state(model: Restorer) -> dict[str, torch.Tensor]:
    return dict(model.network.state_dict())


def test_generator_and_average_begin_with_the_model_under_a_fresh_optimiser(
    data: Path, tmp_path: Path
) -> None:
    begun = parent(tmp_path / "parent")
    reports = train_restorer(STARTED, *sets(data), tmp_path / "run", start=begun)
    card = next(reports).restorer.card
    first = load_file(tmp_path / "run/fidelity/000000000000/state.safetensors")
    for name, tensor in state(begun).items():
        assert torch.equal(first[f"generator.{name}"], tensor)
        assert torch.equal(first[f"average.{name}"], tensor)
    assert not any(t.count_nonzero() for n, t in first.items() if n.startswith("generator_opt"))
    assert card["start"] == {"fingerprint": begun.fingerprint, "not_taken": []}


def test_a_run_goes_on_from_the_model_that_it_started_from_and_from_no_other(
    data: Path, tmp_path: Path
) -> None:
    one, other = parent(tmp_path / "one"), parent(tmp_path / "other", seed=1)
    list(train_restorer(STARTED, *sets(data), tmp_path / "run", start=one))
    renamed = replace(STARTED, start=StartConfig("same weights", True))
    list(train_restorer(renamed, *sets(data), tmp_path / "run", start=one))
    with pytest.raises(
        CheckpointError, match=f"was '{one.fingerprint}' and is '{other.fingerprint}'"
    ):
        list(train_restorer(STARTED, *sets(data), tmp_path / "run", start=other))


def test_a_model_of_another_width_is_refused_with_what_does_not_fit(tmp_path: Path) -> None:
    wide = parent(tmp_path / "wide", network=replace(NETWORK, width=16))
    with pytest.raises(
        ValueError, match=r"network.width was 16 and is 8; .* tensors do not fit: "
    ) as error:
        take_over(build_network(NETWORK, 1), wide, NETWORK, strict=True)
    assert "intro.weight (16 x 4 x 3 x 3 there, 8 x 4 x 3 x 3 here)" in str(error.value)


def test_what_fits_is_taken_where_the_user_says_so_and_the_rest_is_named(tmp_path: Path) -> None:
    grey, colour = parent(tmp_path / "grey"), build_network(NETWORK, 3)
    unfit = take_over(colour, grey, NETWORK, strict=False)
    taken = [n for n, t in colour.state_dict().items() if torch.equal(t, state(grey).get(n, t[:0]))]
    assert {phrase.split()[0] for phrase in unfit} == set(colour.state_dict()) - set(taken)
    assert {"intro.weight", "ending.weight"} <= {phrase.split()[0] for phrase in unfit}
    assert len(taken) > len(unfit)


def test_a_network_of_another_kind_is_refused_however_lenient(tmp_path: Path) -> None:
    plain = replace(NETWORK, name="plain_unet")
    with pytest.raises(ValueError, match=r"network\.name was 'nafnet' and is 'plain_unet'"):
        take_over(build_network(plain, 1), parent(tmp_path / "m"), plain, strict=False)


def test_parameters_and_command_name_the_same_start(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"start\.model is parent and none was given"):
        next(train_restorer(STARTED, *sets(data), tmp_path / "run"))
    with pytest.raises(ValueError, match="name a folder in data/start, or none"):
        StartConfig("..", True)
