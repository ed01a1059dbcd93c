"""Claims about perceptual losses."""

import pytest
import torch

from remint.restorer.perceptual import (
    EffLiteLoss,
    build_perceptual,
    feature_matching_loss,
    vgg19_weights,
)


def test_feature_matching_ignores_the_logits_and_moves_only_the_fake() -> None:
    real = [torch.ones(1, 2, 2, 2, requires_grad=True), torch.zeros(1, 1)]
    fake = [torch.zeros(1, 2, 2, 2, requires_grad=True), torch.ones(1, 1)]
    loss = feature_matching_loss(real, fake)
    loss.backward()
    assert loss.item() == 1.0
    assert fake[0].grad is not None and real[0].grad is None


def test_efflite_sees_a_blur_as_worse_than_the_same_image_and_pulls_towards_it() -> None:
    torch.manual_seed(0)
    target = torch.rand(1, 1, 64, 64) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(target, 5, 1, 2).requires_grad_()
    loss_network = EffLiteLoss()
    loss = loss_network(blurred, target)
    loss.backward()
    assert loss_network(target, target).item() == 0.0 < loss.item()
    assert blurred.grad is not None and blurred.grad.abs().sum() > 0


@pytest.mark.skipif(vgg19_weights() is not None, reason="VGG19 weights are on this disk")
def test_vgg19_without_its_weights_is_refused_not_replaced() -> None:
    with pytest.raises(ValueError, match="weights are not in torch's hub folder"):
        build_perceptual("vgg19")
