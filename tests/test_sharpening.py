"""Claims about sharpening by predicted gains, and about the network that ends with it."""

import torch

from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.networks.sharpening import REACH, Sharpening, smoothed

CONFIG = NetworkConfig("plain_unet", 8, (1,), 1, 2, 3, sharpening=3)


def asking(orders: int = 3) -> Sharpening:
    """Gains that differ by place and band."""
    torch.manual_seed(0)
    part = Sharpening(4, orders)
    torch.nn.init.normal_(part.gains.weight)
    return part.eval()


def test_smoothing_keeps_a_plain_ground_and_takes_the_finest_checks_away() -> None:
    plain = torch.full((1, 3, 6, 9), 0.7)
    torch.testing.assert_close(smoothed(plain), plain)
    checks = (torch.arange(12)[:, None] + torch.arange(12)).fmod(2).float()[None, None]
    torch.testing.assert_close(smoothed(checks)[..., 3:-3, 3:-3], torch.full((1, 1, 6, 6), 0.5))


def test_gains_steepen_an_edge_whatever_the_features() -> None:
    step = torch.zeros(1, 1, 16, 16)
    step[..., 8:] = 1.0
    soft, part = smoothed(step), asking()
    for _ in range(5):
        added = part(soft, torch.randn(1, 4, 4, 4))
        assert added[..., 7].max() < 0 < added[..., 8].min()


def test_what_is_added_follows_the_exposure() -> None:
    image, features, part = torch.rand(2, 1, 16, 16), torch.rand(2, 4, 4, 4), asking()
    added = part(image, features)
    assert added.abs().max() > 0
    torch.testing.assert_close(part(0.1 * image, 0.1 * features), 0.1 * added)


def test_gains_follow_from_what_is_within_reach_alone() -> None:
    part, features = asking(), torch.rand(1, 4, 3, 4 * REACH)
    there = features.clone()
    there[..., -1] = 5.0
    same = (part._gains(features) == part._gains(there)).all(dim=1)[0, 0]
    assert same.tolist() == [True] * (3 * REACH - 1) + [False] * (REACH + 1)


def test_a_network_that_sharpens_starts_near_the_identity_at_any_size() -> None:
    for shape in ((1, 1, 4, 4), (2, 1, 8, 12)):
        x = torch.rand(shape) * 2 - 1
        net = build_network(CONFIG, 1)
        assert net(x).shape == x.shape
        assert (net(x) - x).abs().max() < 0.6  # of 2


def test_gains_and_what_comes_before_learn_together() -> None:
    torch.manual_seed(0)
    whole, x = build_network(CONFIG, 1), torch.rand(2, 1, 8, 8)
    torch.nn.init.normal_(whole.sharpening.gains.weight)  # type: ignore[union-attr]
    whole(x).square().sum().backward()
    idle = [
        n for n, weight in whole.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    assert idle == []


def test_a_blur_is_undone_by_gains_that_are_not_negative() -> None:
    """1 / (1 - d) = 1 + d + d^2 + ..: with every gain 1, little of the binomial blur is left."""
    sharp, part = torch.rand(1, 1, 40, 40), asking(orders=16)
    sharp = smoothed(smoothed(sharp))
    torch.nn.init.zeros_(part.gains.weight)
    torch.nn.init.ones_(part.gains.bias)
    soft = smoothed(sharp)
    with torch.no_grad():
        left = soft + part(soft, torch.rand(1, 4, 10, 10)) - sharp
    assert left[..., 5:-5, 5:-5].abs().mean() < 0.25 * (soft - sharp)[..., 5:-5, 5:-5].abs().mean()


def test_exposure_is_followed_by_a_network_that_sharpens() -> None:
    net, bright = build_network(CONFIG, 1).eval(), torch.rand(1, 1, 16, 24)
    torch.nn.init.normal_(net.sharpening.gains.weight)  # type: ignore[union-attr]
    shown, dim = (net(2 * image - 1) / 2 + 0.5 for image in (bright, 0.2 * bright))
    torch.testing.assert_close(dim, 0.2 * shown)
