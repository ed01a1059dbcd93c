"""Claims about the games: who wants what, and what the penalties measure."""

import math

import pytest
import torch

from remint.training.losses import GAMES, accuracy, differentiable_twice, gradient_penalty

LOGITS = torch.tensor([[2.0], [1.0]]), torch.tensor([[-2.0], [-1.0]])


@pytest.mark.parametrize("name", GAMES)
def test_the_discriminator_gains_by_telling_real_from_fake(name: str) -> None:
    real, fake = LOGITS
    game = GAMES[name]  # type: ignore[index]
    assert game.discriminator_loss(real, fake) < game.discriminator_loss(fake, real)


@pytest.mark.parametrize("name", GAMES)
def test_the_generator_gains_by_higher_logits_of_its_fakes(name: str) -> None:
    real, _ = LOGITS
    fake = torch.zeros(2, 1, requires_grad=True)
    GAMES[name].generator_loss(real, fake).backward()  # type: ignore[index]
    assert fake.grad is not None and (fake.grad < 0).all()


def test_minimax_is_the_value_that_the_discriminator_maximises() -> None:
    real, fake = LOGITS
    value = torch.sigmoid(real).log().mean() + (1 - torch.sigmoid(fake)).log().mean()
    torch.testing.assert_close(GAMES["minimax"].discriminator_loss(real, fake), -value)


def test_the_saturating_loss_has_little_slope_where_the_other_has_much() -> None:
    slopes = {}
    for name in ("minimax", "non_saturating"):
        fake = torch.tensor([-5.0], requires_grad=True)
        GAMES[name].generator_loss(fake, fake).backward()  # type: ignore[index]
        assert fake.grad is not None
        slopes[name] = abs(fake.grad.item())
    assert slopes["non_saturating"] > 50 * slopes["minimax"]


def test_the_relativistic_game_looks_at_differences_alone() -> None:
    real, fake = LOGITS
    loss = GAMES["relativistic"].discriminator_loss
    torch.testing.assert_close(loss(real, fake), loss(real + 7, fake + 7))
    assert math.isclose(loss(real, real).item(), math.log(2), rel_tol=1e-6)


def test_the_penalty_is_the_squared_slope_summed_over_pixels() -> None:
    images = torch.randn(4, 3, 5, 5, requires_grad=True)
    weight = torch.full((3, 5, 5), 0.5)
    logits = (images * weight).sum(dim=(1, 2, 3))
    assert math.isclose(gradient_penalty(logits, images).item(), 0.25 * 75, rel_tol=1e-5)


def test_the_penalty_can_be_minimised() -> None:
    images = torch.randn(2, 1, 4, 4, requires_grad=True)
    net = torch.nn.Conv2d(1, 1, 3)
    gradient_penalty(net(images).square(), images).backward()
    assert net.weight.grad is not None and net.weight.grad.any()


def test_a_compiled_discriminator_takes_penalties_and_stays_compiled() -> None:
    images = torch.randn(2, 1, 4, 4, requires_grad=True)
    net = torch.nn.Conv2d(1, 1, 3)
    net.compile(backend="aot_eager")
    with pytest.raises(RuntimeError, match="double backward"):
        gradient_penalty(net(images).square(), images).backward()
    with differentiable_twice(net):
        gradient_penalty(net(images).square(), images).backward()
    assert net.weight.grad is not None and net.weight.grad.any()
    assert net(images).shape == (2, 1, 2, 2)


def test_accuracy_is_one_for_a_perfect_discriminator_and_half_for_a_blind_one() -> None:
    real, fake = LOGITS
    assert accuracy(real, fake, "hinge") == 1.0 == accuracy(real, fake, "relativistic")
    assert accuracy(real, real, "hinge") == 0.5
