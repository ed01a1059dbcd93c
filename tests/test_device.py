"""Claims about where and how exactly networks run."""

import torch

from remint.core.device import pick_device


def test_fp32_is_ieee_wherever_a_device_was_picked() -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    pick_device("cpu")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
