"""Claims about the networks, the discriminators and the padding around them."""

import pytest
import torch

from remint.networks.weights import count_parameters
from remint.restorer.networks.catalogue import (
    WHOLE_BATCH,
    DiscriminatorConfig,
    NetworkConfig,
    build_discriminator,
    build_network,
)
from remint.restorer.networks.padding import pad_to_multiple, run_padded
from remint.restorer.networks.plain_unet import PlainBlock
from remint.restorer.validation import counted_units

SMALL = {"width": 8, "encoder": (1, 1), "middle": 1, "stem": 2, "depth": 3, "leak": 0.01}


def network(name: str, channels: int = 1) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(NetworkConfig(name=name, **SMALL), channels).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["nafnet", "plain_unet", "unet", "dncnn", "article"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_keeps_the_shape_of_any_image(name: str, channels: int) -> None:
    net = network(name, channels)
    x = torch.rand(2, channels, 17, 30) * 2 - 1
    assert run_padded(net, x, net.multiple).shape == x.shape


@pytest.mark.parametrize("name", ["nafnet", "unet"])
def test_residual_networks_start_near_the_identity(name: str) -> None:
    x = torch.rand(1, 1, 16, 16) * 2 - 1
    net = network(name)
    if name == "nafnet":
        torch.nn.init.zeros_(net.ending.weight), torch.nn.init.zeros_(net.ending.bias)
    torch.testing.assert_close(net(x), x)


@pytest.mark.parametrize("name", ["nafnet", "plain_unet", "unet", "dncnn", "article"])
def test_every_parameter_of_a_network_receives_a_gradient(name: str) -> None:
    net = network(name).train()
    for parameter in net.parameters():
        parameter.data.add_(0.01)  # NAFNet's residual scales start at zero
    net(torch.randn(2, 1, 16, 16)).square().mean().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@pytest.mark.parametrize("name", ["article", "patchgan", "unet"])
@pytest.mark.parametrize("conditional", [False, True])
def test_discriminators_judge_small_and_odd_images(name: str, conditional: bool) -> None:
    rival = build_discriminator(DiscriminatorConfig(name, 8, conditional), 1)  # type: ignore[arg-type]
    features = rival(torch.randn(2, 2 if conditional else 1, 28, 29))
    assert len(features) >= 3 and features[-1].shape[:2] == (2, 1)


def has_batch_norm(net: torch.nn.Module) -> bool:
    return any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())


def test_the_networks_with_batch_norm_are_known_by_name() -> None:
    names = ("nafnet", "plain_unet", "unet", "dncnn", "article")
    normed = {name for name in names if has_batch_norm(network(name))}
    for name in ("article", "patchgan", "unet"):
        if has_batch_norm(build_discriminator(DiscriminatorConfig(name, 8, True), 1)):  # type: ignore[arg-type]
            normed.add(name)
    assert normed == set(WHOLE_BATCH)


def test_the_patchgan_sees_70_pixels() -> None:
    rival = build_discriminator(DiscriminatorConfig("patchgan", 4, False), 1)
    image = torch.randn(1, 1, 140, 140, requires_grad=True)
    logits = rival(image)[-1]
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert image.grad is not None
    touched = image.grad[0, 0].nonzero()
    assert (touched.max(0).values - touched.min(0).values + 1).tolist() == [70, 70]


def test_dncnn_has_the_size_that_its_paper_states() -> None:
    net = build_network(NetworkConfig("dncnn", 64, (), 0, 1, 17), 1)
    assert 0.55e6 < count_parameters(net) < 0.57e6


def test_the_plain_unet_is_the_measured_one_and_carries_no_bias() -> None:
    net = build_network(NetworkConfig("plain_unet", 64, (2,), 2, 2, 3), 1)
    assert count_parameters(net) == 954_880
    assert all(name.endswith("weight") for name, _ in net.named_parameters())


def test_the_plain_unet_follows_the_exposure_and_keeps_black() -> None:
    net, bright = network("plain_unet"), torch.rand(1, 1, 16, 24)  # in [0, 1]
    shown, dim = (net(2 * image - 1) / 2 + 0.5 for image in (bright, 0.2 * bright))
    torch.testing.assert_close(dim, 0.2 * shown)
    assert (shown - bright).abs().max() > 1e-4
    torch.testing.assert_close(net(-torch.ones_like(bright)), -torch.ones_like(bright))


@pytest.mark.parametrize(("leak", "learns"), [(0.0, False), (0.01, True)])
def test_a_unit_that_answers_to_nothing_learns_again_where_the_relu_leaks(
    leak: float, learns: bool
) -> None:
    block = PlainBlock(4, leak)
    block.first.weight.data[1] = -1.0  # and what it sees is above 0
    block(torch.rand(2, 4, 8, 8)).square().mean().backward()
    assert bool(block.first.weight.grad[1].any()) == learns  # type: ignore[index]
    assert block.first.weight.grad[0].any()  # type: ignore[index]


def test_units_that_no_picture_raises_above_zero_are_counted() -> None:
    net = build_network(NetworkConfig("plain_unet", 8, (1,), 1, 2, 3, leak=0.01), 1)
    for parameter in net.parameters():
        parameter.data.abs_()
    net.middle[0].first.weight.data[:4] *= -1  # type: ignore[union-attr, index]
    with counted_units(net) as silent:
        net(torch.rand(2, 1, 16, 16)), net(torch.rand(1, 1, 8, 8))
    assert silent() == 4 / (8 + 16 + 8)
    with counted_units(network("nafnet")) as silent:
        network("nafnet")(torch.rand(1, 1, 8, 8))
    assert silent() == 0.0


def test_the_plain_unet_folds_by_its_stem_and_halves_by_its_levels() -> None:
    for stem, encoder in ((1, (1,)), (2, (1, 1)), (4, ())):
        net = build_network(NetworkConfig("plain_unet", 8, encoder, 1, stem, 3), 3)  # type: ignore[arg-type]
        assert net.multiple == stem * 2 ** len(encoder)
        x = torch.rand(1, 3, net.multiple, 2 * net.multiple)
        assert net(x).shape == x.shape


def test_padding_reflects_and_repeats_where_an_image_is_too_small() -> None:
    row = torch.arange(3.0).view(1, 1, 1, 3)
    assert pad_to_multiple(row, 4)[0, 0, 0].tolist() == [0, 1, 2, 2]
    tall = torch.arange(9.0).view(1, 1, 3, 3)
    assert pad_to_multiple(tall, 4)[0, 0, 3].tolist() == [3, 4, 5, 4]


def test_a_network_that_would_grow_without_bounds_is_refused_before_it_is_built() -> None:
    with pytest.raises(ValueError, match="width 64 doubled 8 times, needed 8192"):
        NetworkConfig("nafnet", 64, (1,) * 8, 1, 1, 3)
    with pytest.raises(ValueError, match="doubled 99 times"):
        NetworkConfig("unet", 1, (), 0, 1, 100)
