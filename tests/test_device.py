"""Claims about where and how exactly networks run."""

import torch

from remint.core.device import pick_device


def test_fp32_is_ieee_wherever_a_device_was_picked() -> None:
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    pick_device("cpu")
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
