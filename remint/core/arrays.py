"""The one place where pixels change form: uint8 HWC outside the networks, float NCHW inside."""

import numpy as np
import torch


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """Turn uint8 [N,]H,W,C in 0..255 into contiguous float32 [N,]C,H,W in [-1, 1]."""
    assert images.dtype == np.uint8, images.dtype
    tensor = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, -3)))
    return scale(tensor)


def scale(pixels: torch.Tensor) -> torch.Tensor:
    """Map a uint8 tensor in 0..255 to float32 in [-1, 1], shape and device kept."""
    return pixels.to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(tensor: torch.Tensor) -> np.ndarray:
    """Turn float [N,]C,H,W in [-1, 1] into uint8 [N,]H,W,C, clamped and rounded."""
    pixels = tensor.detach().float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(np.moveaxis(pixels.cpu().numpy(), -3, -1))
