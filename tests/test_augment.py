"""Claims about what a discriminator is shown: differentiable, bounded, filled with background."""

import pytest
import torch

from remint.generator.augment import (
    ADA_LIMIT,
    ADA_SPEED,
    ADA_TARGET,
    LANES,
    ada,
    adapted,
    diffaugment,
)

STILL = 0.5  # a draw at which DiffAugment's brightness, saturation, contrast and shift do nothing


def images(count: int = 4, channels: int = 1, size: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand((count, channels, size, size), generator=generator) * 2 - 1


def draws(count: int = 4) -> torch.Tensor:
    return torch.rand((count, LANES), generator=torch.Generator().manual_seed(1))


def still(count: int, **lanes: float) -> torch.Tensor:
    """Return draws that change nothing but the named lanes; the hole lies far outside."""
    found = torch.full((count, LANES), STILL)
    found[:, 5:7] = 9.0
    for name, value in lanes.items():
        found[:, int(name.removeprefix("lane"))] = value
    return found


def test_ada_at_probability_0_shows_the_images_as_they_are() -> None:
    shown = ada(images(), draws(), 0.0, torch.tensor([-1.0]))
    assert torch.allclose(shown, images(), atol=1e-5)


def test_diffaugment_at_its_middle_draws_changes_nothing() -> None:
    shown = diffaugment(images(), still(4), torch.tensor([-1.0]))
    assert torch.allclose(shown, images(), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_finite_values_stay_whatever_is_drawn(channels: int) -> None:
    seen, background = images(4, channels), torch.zeros(channels)
    for shown in (
        diffaugment(seen, draws(), background),
        ada(seen, draws(), ADA_LIMIT, background),
    ):
        assert shown.shape == seen.shape and torch.isfinite(shown).all()


def test_an_image_is_augmented_by_its_own_draws_alone() -> None:
    seen, background = images(), torch.tensor([0.0])
    whole = ada(seen, draws(), 0.8, background)
    assert torch.allclose(ada(seen[2:3], draws()[2:3], 0.8, background)[0], whole[2], atol=1e-6)


@pytest.mark.parametrize(("drawn", "pixels"), [(0.0, -2), (1.0, 2), (0.75, 1)])
def test_translation_reaches_an_eighth_of_the_side_and_no_further(
    drawn: float, pixels: int
) -> None:
    seen = torch.full((1, 1, 16, 16), -1.0)
    seen[0, 0, 8, 8] = 1.0
    shown = diffaugment(seen, still(1, lane3=drawn), torch.tensor([-1.0]))
    row, column = divmod(int(shown.argmax()), 16)
    assert row == 8 and abs(column - 8) == abs(pixels)


def test_what_moves_in_and_what_is_cut_out_is_background() -> None:
    seen, background = torch.ones(1, 1, 16, 16), torch.tensor([-0.25])
    moved = diffaugment(seen, still(1, lane3=1.0), background)
    assert set(moved.unique().tolist()) == {-0.25, 1.0}
    cut = diffaugment(seen, still(1, lane5=0.51, lane6=0.51), background)
    assert torch.allclose(cut[..., 8, 8], background) and cut[..., 0, 0] == 1.0
    assert (cut != 1.0).float().mean() == pytest.approx(0.25)


@pytest.mark.parametrize("name", ["diffaugment", "ada"])
def test_gradients_reach_the_images(name: str) -> None:
    seen = images().requires_grad_()
    shown = (
        diffaugment(seen, draws(), torch.tensor([0.0]))
        if name == "diffaugment"
        else ada(seen, draws(), 0.8, torch.tensor([0.0]))
    )
    shown.square().sum().backward()
    assert seen.grad is not None and (seen.grad != 0).flatten(1).any(dim=1).all()


def test_adas_probability_follows_overfitting_and_stays_in_its_bounds() -> None:
    assert adapted(0.3, ADA_TARGET + 0.1, 64) == pytest.approx(0.3 + 64 * ADA_SPEED)
    assert adapted(0.3, ADA_TARGET - 0.1, 64) == pytest.approx(0.3 - 64 * ADA_SPEED)
    assert adapted(0.0, -1.0, 10**6) == 0.0
    assert adapted(ADA_LIMIT, 1.0, 10**6) == ADA_LIMIT
