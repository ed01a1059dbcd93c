"""Claims about a generator's training that starts from a trained generator."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from remint.generator.generator import FORMAT, Minter
from remint.generator.networks.catalogue import (
    GeneratorConfig,
    build_discriminator,
    build_generator,
)
from remint.generator.starting import Begun, GeneratorStartConfig, by_class, freeze, take_over
from remint.generator.train import TrainGeneratorConfig, train_generator
from remint.images.imageset import ImageSet
from remint.training.checkpoint import CheckpointError
from tests.test_minting import CONFIG, NETWORK, write_set

OLD = ["cat", "dog", "hen"]
FLOW = replace(NETWORK, name="flow", width=8, latent=256)
STARTED = replace(CONFIG, start=GeneratorStartConfig("parent", True, 1))


def parent(
    seed: int = 0, network: GeneratorConfig = NETWORK, classes: list[str] | None = None
) -> Minter:
    """Return a generator of random weights for 16 px grey images."""
    names = OLD if classes is None else classes
    torch.manual_seed(seed)
    shape = (1, 16, max(1, len(names)))
    card = {"network": asdict(network), "channels": 1, "size": 16, "class_names": names}
    sides = build_generator(network, *shape), build_discriminator(network, *shape)
    minter = Minter(*sides, card | {"format": FORMAT}, torch.device("cpu"))
    minter.fingerprint = f"parent-{seed}"
    return minter


def begun(classes: list[str], network: GeneratorConfig = NETWORK) -> Begun:
    fresh = parent(9, network, classes)
    return Begun(network, classes, fresh.network, fresh.discriminator)


def rows(network: torch.nn.Module) -> torch.Tensor:
    table = next(m for m in network.modules() if isinstance(m, torch.nn.Embedding))
    return table.weight.detach()


def test_classes_are_matched_by_name_and_a_new_one_begins_as_their_mean() -> None:
    start, wanted = parent(), begun(["hen", "owl", "cat"])
    told = take_over(wanted, start, strict=True)
    old, new = rows(start.network), rows(wanted.generator)
    assert torch.equal(new[[0, 2]], old[[2, 0]])
    torch.testing.assert_close(new[1], old.mean(dim=0))
    assert told == {"fingerprint": "parent-0", "not_taken": [], "new_classes": ["owl"]}


def test_flows_row_for_no_class_stays_behind_the_classes() -> None:
    start = parent(network=FLOW)
    state = by_class(start.network, OLD, ["owl", "dog"])
    table = next(t for name, t in state.items() if name.endswith("embedding.weight"))
    old = rows(start.network)
    assert table.shape[0] == 3 and torch.equal(table[1:], old[[1, 3]])


def test_all_else_of_both_networks_is_taken_over() -> None:
    start, wanted = parent(), begun(["hen"])
    take_over(wanted, start, strict=True)
    assert start.discriminator is not None and wanted.discriminator is not None
    for ours, theirs in (
        (wanted.generator, start.network),
        (wanted.discriminator, start.discriminator),
    ):
        mine, other = ours.state_dict(), theirs.state_dict()
        shared = [name for name in mine if mine[name].shape == other[name].shape]
        assert shared and all(torch.equal(mine[name], other[name]) for name in shared)


def test_an_unlabelled_start_gives_its_one_row_to_every_class() -> None:
    start, wanted = parent(classes=[]), begun(["cat", "owl"])
    take_over(wanted, start, strict=True)
    assert torch.equal(rows(wanted.generator), rows(start.network).expand(2, -1))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"width": 32}, r"network.width was \d+ and is 32; .* tensors do not fit: "),
        ({"name": "flow", "latent": 256}, r"network.name was 'conv' and is 'flow'"),
    ],
)
def test_another_network_is_refused_with_what_differs(change: dict[str, object], told: str) -> None:
    other = replace(NETWORK, **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=told):
        take_over(begun(OLD, other), parent(), strict=True)


def test_a_vae_is_refused_other_classes_since_it_reads_their_numbers() -> None:
    vae = replace(NETWORK, name="vae")
    with pytest.raises(ValueError, match="found cat, dog, hen, needed dog, cat, hen"):
        take_over(begun(["dog", "cat", "hen"], vae), parent(network=vae), strict=True)


@pytest.mark.parametrize("name", ["conv", "article", "r3"])
def test_levels_hold_what_a_discriminator_learns_but_for_its_head(name: str) -> None:
    network = build_discriminator(replace(NETWORK, name=name), 1, 16, 2)  # type: ignore[arg-type]
    assert network is not None
    freeze(network, 1)
    frozen = [n for n, weight in network.named_parameters() if not weight.requires_grad]
    assert frozen and len(frozen) < len(list(network.parameters()))
    assert frozen == [n for n, _ in network.named_parameters()][: len(frozen)]
    with pytest.raises(ValueError, match="found 8, and this network can keep at most"):
        freeze(network, 8)


def test_a_network_without_a_discriminator_has_no_level_to_freeze() -> None:
    with pytest.raises(ValueError, match=r"found 1, .* 0: it has no discriminator"):
        freeze(None, 1)
    with pytest.raises(ValueError, match="freeze is 1 and model is none"):
        GeneratorStartConfig("none", True, 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return ImageSet(write_set(tmp_path_factory.mktemp("data") / "clean"))


def run(config: TrainGeneratorConfig, data: ImageSet, out: Path, start: Minter) -> None:
    list(train_generator(config, data, out, start=start))


def test_frozen_levels_stay_bit_equal_through_a_training_and_its_resumption(
    data: ImageSet, tmp_path: Path
) -> None:
    start = parent(network=NETWORK)
    run(STARTED, data, tmp_path, start)
    newest = sorted((tmp_path / "game").glob("*/state.safetensors"))[-1]
    after = load_file(newest)
    assert start.discriminator is not None
    before = start.discriminator.state_dict()
    moved = {n for n, t in before.items() if not torch.equal(t, after[f"discriminator.{n}"])}
    assert {n for n in before if n.startswith("downs.0.")}.isdisjoint(moved) and moved


def test_a_run_goes_on_from_its_own_start_and_from_no_other(data: ImageSet, tmp_path: Path) -> None:
    run(STARTED, data, tmp_path, parent())
    with pytest.raises(CheckpointError, match="was 'parent-0' and is 'parent-1'"):
        run(STARTED, data, tmp_path, parent(1))
    with pytest.raises(ValueError, match=r"start\.model is parent and none was given"):
        list(train_generator(STARTED, data, tmp_path / "b"))
