"""Claims about what the restorer minimises: what a picture's error weighs, and what is recorded."""

import pytest
import torch

from remint.metrics.pixels import WHOLE_CEILING, psnr_score
from remint.restorer.objective import (
    PIXEL_LOSSES,
    RestorationLossConfig,
    decibel_loss,
    pixel_term,
)


def pictures(*errors: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return outputs that are off by these root mean squares (values -1..1), and their targets."""
    signs = torch.randint(0, 2, (len(errors), 1, 16, 16), generator=torch.manual_seed(0)) * 2 - 1
    return signs * torch.tensor(errors)[:, None, None, None], torch.zeros(signs.shape)


def test_a_picture_as_it_should_be_costs_nothing_and_one_at_the_ceiling_three_decibels() -> None:
    at_ceiling = 2.0 * 10.0 ** (-WHOLE_CEILING / 20.0)
    assert decibel_loss(*pictures(0.0, 0.0)) == 0.0
    assert decibel_loss(*pictures(at_ceiling)).item() == pytest.approx(3.01, abs=0.01)


def test_half_the_error_is_worth_as_much_in_a_mild_picture_as_in_a_strong_one() -> None:
    def won(loss: str, error: float) -> float:
        function, _ = PIXEL_LOSSES[loss]
        return (function(*pictures(error)) - function(*pictures(error / 2))).item()

    assert won("decibels", 0.4) == pytest.approx(won("decibels", 2.0), rel=0.02)
    assert won("charbonnier", 0.4) < 0.25 * won("charbonnier", 2.0)


def test_far_from_the_ceiling_the_loss_is_the_psnr_that_is_missing() -> None:
    output, target = pictures(0.3, 0.6)
    levels = [127.5 * (1 + values.numpy().transpose(0, 2, 3, 1)) for values in (output, target)]
    scores = [psnr_score(image, clean) for image, clean in zip(*levels, strict=True)]
    missing = WHOLE_CEILING - sum(scores) / 2
    assert decibel_loss(output, target).item() == pytest.approx(missing, abs=0.05)


def test_pictures_of_a_batch_count_one_by_one() -> None:
    both = decibel_loss(*pictures(0.1, 0.9))
    alone = [decibel_loss(*pictures(error)) for error in (0.1, 0.9)]
    assert both.item() == pytest.approx(0.5 * (alone[0] + alone[1]).item(), rel=1e-5)


def test_another_pixel_loss_comes_with_its_own_weight_unless_one_is_given() -> None:
    def term(pixel: str, weight: float | None) -> float:
        rest = ("features", 0.0, 0.0, "relativistic", 0.0, 1)
        config = RestorationLossConfig(pixel, weight, *rest)  # type: ignore[arg-type]
        return pixel_term(config, *pictures(0.5)).item()

    assert term("l1", None) == pytest.approx(0.5)
    assert term("l1", 0.01) == pytest.approx(0.005)
    assert term("decibels", None) == term("decibels", 0.01) < 1.0
