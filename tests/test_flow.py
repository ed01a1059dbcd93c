"""Claims about flow matching, its sampler, and the optimiser that moves matrices."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from remint.core import device
from remint.generator.generator import Minter
from remint.generator.networks.flow import ENDING, FlowGenerator, Solver, with_margin
from remint.generator.objectives.flow import flow_matching_loss
from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.training.optimisers import (
    Muon,
    OptimiserConfig,
    Optimisers,
    as_matrix,
    hidden_convolutions,
    orthogonal,
)

CONFIG = OptimiserConfig(1e-3, 1e-4, (0.9, 0.99), 0.99, 0.0, 3e-3, 0.1)


def flow(steps: int = 3, guidance: float = 1.0, solver: Solver = "adams") -> FlowGenerator:
    torch.manual_seed(0)
    network = FlowGenerator(1, 8, 2, 8, steps, guidance, solver)
    nn.init.normal_(network.ending.weight, 0.0, 0.1)  # it starts at 0: nothing would move
    return network.eval()


def minter(network: FlowGenerator) -> Minter:
    sizes = {"channels": 1, "size": 8, "class_names": ["a", "b"]}
    card = {**sizes, "network": {"name": "flow", "latent": 64}}
    return Minter(network, None, card, torch.device("cpu"))


def test_an_image_minted_alone_equals_the_one_minted_in_a_batch() -> None:
    one, labels, seeds = minter(flow()), np.arange(70) % 2, np.arange(70)
    together = one.mint(labels, seeds)
    for k in (0, 63, 64, 69):
        assert np.array_equal(one.mint(labels[k : k + 1], seeds[k : k + 1])[0], together[k])
    assert together.std() > 10


def test_heun_is_exact_where_velocity_is_linear_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    network, start = flow(steps=4, solver="heun"), torch.zeros(2, 64)
    rising = lambda x, times, labels: times[:, None, None, None].expand_as(x) * 0.8  # noqa: E731
    monkeypatch.setattr(network, "velocity", rising)
    # Heun's steps are exact; Euler's last one, from 3/4 on, takes the velocity of its start
    expected = 0.8 * (0.75**2 / 2 + 0.25 * 0.75)
    torch.testing.assert_close(
        network(start, torch.tensor([0, 1])), torch.full((2, 1, 8, 8), expected)
    )


def test_adams_takes_one_call_a_step_and_its_error_falls_with_their_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """dx/dt = (1 - 2 t) x from 0.5 up to the ending, a straight step from there."""
    start, labels, times = torch.full((2, 64), 0.5), torch.tensor([0, 1]), []
    begins = 1 - ENDING
    expected = 0.5 * math.exp(begins - begins**2) * (1 + ENDING * (1 - 2 * begins))

    def velocity(x: torch.Tensor, now: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        times.append(float(now[0]))
        return (1 - 2 * now[:, None, None, None]) * x

    def error(steps: int) -> float:
        network = flow(steps)
        monkeypatch.setattr(network, "velocity", velocity)
        times.clear()
        return float((network(start, labels) - expected).abs().max())

    coarse, fine = error(9), error(17)
    assert times == pytest.approx([begins * step / 16 for step in range(17)])
    assert fine < coarse / 3 and fine < 1e-3


def test_one_step_of_adams_is_one_jump() -> None:
    network, z, labels = flow(steps=1), torch.randn(2, 64), torch.tensor([0, 1])
    with torch.no_grad():
        slope = network.velocity(z.view(2, 1, 8, 8), torch.zeros(2), labels)
        assert torch.equal(network(z, labels), (z.view(2, 1, 8, 8) + slope).clamp(-1, 1))


def test_guidance_of_one_is_none_and_more_goes_on_from_no_class_towards_the_class() -> None:
    x, labels = torch.randn(2, 1, 8, 8), torch.tensor([0, 1])
    with torch.no_grad():
        plain, free, strong = (flow(guidance=g)._guided(x, 0.5, labels) for g in (1.0, 0.0, 2.0))
    torch.testing.assert_close(strong, free + 2 * (plain - free))
    assert not torch.allclose(plain, free)


def test_the_loss_is_least_at_the_straight_path() -> None:
    image, noise = torch.rand(4, 1, 8, 8), torch.randn(4, 1, 8, 8)
    assert flow_matching_loss(image - noise, image, noise) == 0
    assert flow_matching_loss(image - noise + 0.5, image, noise) == pytest.approx(0.25)


def test_sides_that_can_not_be_folded_are_refused_with_the_multiple() -> None:
    with pytest.raises(ValueError, match="found images of 30 px, needed a multiple of 4"):
        FlowGenerator(1, 30, 2, 8, 3, 1.0, "adams")


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_muon_steps_along_an_orthogonal_matrix_of_the_weight_itself(
    layout: torch.memory_format,
) -> None:
    conv = nn.Conv2d(4, 8, 3, bias=False).to(memory_format=layout)  # type: ignore[call-overload]
    before, muon = conv.weight.detach().clone(), Muon([conv.weight], 0.1, 0.0)
    conv(torch.randn(2, 4, 6, 6)).square().sum().backward()
    muon.step()
    moved = (before - conv.weight).detach().flatten(1)
    sizes = torch.linalg.svdvals(moved) / (0.1 * 0.2 * 36**0.5)
    assert sizes.min() > 0.5 and sizes.max() < 1.4  # Newton-Schulz leaves them near 1


@pytest.mark.parametrize("shape", [(3, 6, 20), (3, 20, 6), (1, 8, 8)])
def test_orthogonal_matrices_keep_their_singular_vectors(shape: tuple[int, int, int]) -> None:
    given = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = orthogonal(given)
    u, _, v = torch.linalg.svd(given, full_matrices=False)
    kept = u.mT @ ours @ v.mT
    sizes = kept.diagonal(dim1=1, dim2=2)
    assert sizes.min() > 0.6 and sizes.max() < 1.3
    torch.testing.assert_close(kept, sizes.diag_embed(), atol=1e-9, rtol=0)


def test_muon_moves_as_torch_s_own_up_to_its_bf16() -> None:
    torch.manual_seed(0)
    weights = [nn.Parameter(torch.randn(8, 4, 3, 3)) for _ in range(2)]
    matrices = [nn.Parameter(as_matrix(w.detach().clone())) for w in weights]
    ours = Muon(weights, 0.1, 0.01)
    theirs = torch.optim.Muon(
        matrices, 0.1, weight_decay=0.01, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    before = [w.detach().clone() for w in weights]
    for _ in range(3):
        for weight, matrix in zip(weights, matrices, strict=True):
            weight.grad = torch.randn_like(weight)
            matrix.grad = as_matrix(weight.grad)
        ours.step()
        theirs.step()
    for weight, matrix, first in zip(weights, matrices, before, strict=True):
        apart = (as_matrix(weight.detach()) - matrix).norm()
        assert apart < 0.03 * (as_matrix(first) - matrix).norm()


def test_what_has_no_gradient_for_long_leaves_no_denormal_momentum() -> None:
    weight = nn.Parameter(torch.randn(8, 4, 3, 3))
    weight.grad = torch.randn_like(weight)
    weight.grad[:3] = 0  # of three units that answer to nothing
    muon = Muon([weight], 0.1, 0.0)
    muon.step()
    (state,) = muon.state.values()
    state["momentum_buffer"][:3] = 1e-38  # where it stands after some 1,600 rounds
    muon.step()
    assert (state["momentum_buffer"][:3] == 0).all() and (state["momentum_buffer"][3:] != 0).all()


def test_what_is_nothing_beside_a_matrix_s_norm_makes_no_denormal_products() -> None:
    whole = torch.randn(1, 6, 20)
    whole[:, :2] = 0
    faint = whole.clone()
    faint[:, :2] = 1e-25
    assert torch.equal(orthogonal(faint), orthogonal(whole))


def test_weight_decay_reaches_what_muon_moves() -> None:
    conv = nn.Conv2d(4, 8, 3, bias=False)
    before = conv.weight.detach().clone()
    conv.weight.grad = torch.zeros_like(conv.weight)
    Muon([conv.weight], 0.1, 0.5).step()
    torch.testing.assert_close(conv.weight.detach(), before * (1 - 0.1 * 0.5))


def test_muon_moves_the_convolutions_inside_and_adamw_the_rest() -> None:
    layers = [
        nn.Conv2d(1, 4, 3),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 1, 3),
    ]
    optimisers = Optimisers(nn.Sequential(*layers), CONFIG)
    assert optimisers.muon and list(optimisers.muon.matrices) == [layers[1].weight]
    assert len(optimisers.adamw.param_groups[0]["params"]) == 7


def test_muon_leaves_the_scales_of_channels_to_adamw() -> None:
    network = build_network(NetworkConfig("nafnet", 8, (1,), 1, 1, 2), 1)
    moved = {id(weight) for weight in hidden_convolutions(network)}
    scales = [w for name, w in network.named_parameters() if name.endswith(("beta", "gamma"))]
    assert moved and scales and not moved & {id(scale) for scale in scales}


def test_rates_rise_then_fall_together() -> None:
    optimisers = Optimisers(nn.Sequential(*[nn.Conv2d(4, 4, 3) for _ in range(3)]), CONFIG)
    rates = []
    for share in (0.0, 0.05, 0.1, 1.0):
        optimisers.schedule(share, 1.0)
        groups = optimisers.adamw.param_groups[0], optimisers.muon.param_groups[0]  # type: ignore[union-attr]
        rates.append([group["lr"] for group in groups])
    assert rates[0] == [0, 0] and rates[1][0] < rates[2][0] > rates[3][0]
    assert rates[3] == pytest.approx([1e-4, 3e-4])


@pytest.mark.parametrize(
    ("able", "precision"),
    [({"amx_bf16": True}, "bf16"), ({"avx512_bf16": True}, "bf16"), ({}, "fp32")],
)
def test_auto_asks_the_cpu_whether_bf16_pays(
    able: dict[str, bool], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert device.resolved(torch.device("cpu"), "auto") == precision
    assert device.resolved(torch.device("cpu"), "fp32") == "fp32"


def test_a_restored_optimiser_goes_on_as_the_one_that_was_kept() -> None:
    torch.manual_seed(0)
    one, other = (nn.Sequential(*[nn.Conv2d(4, 4, 3) for _ in range(3)]) for _ in range(2))
    first, second = Optimisers(one, CONFIG), Optimisers(other, CONFIG)
    x = torch.randn(2, 4, 9, 9)

    def step(network: nn.Module, optimisers: Optimisers) -> None:
        optimisers.zero_grad()
        network(x).square().mean().backward()
        optimisers.step()

    step(one, first)
    other.load_state_dict(one.state_dict())
    second.load({name: tensor.clone() for name, tensor in first.tensors()})
    step(one, first)
    step(other, second)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_margin_moves_black_and_white_alone_and_is_clamped_away() -> None:
    image = torch.tensor([-1.0, -0.99, 0.0, 0.99, 1.0])
    moved = with_margin(image)
    torch.testing.assert_close(moved, torch.tensor([-1.1, -0.99, 0.0, 0.99, 1.1]))
    assert torch.equal(moved.clamp(-1, 1), image)
    assert torch.equal(with_margin(moved), moved)
