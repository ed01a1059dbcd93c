"""The one place where pixels change form: uint8 (or uint16) HWC outside, float NCHW inside."""

import numpy as np
import torch

DEEP_HALF = 65535 / 2


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """Turn uint8 or uint16 [N,]H,W,C into contiguous float32 [N,]C,H,W, black -1 and white 1."""
    planes = np.ascontiguousarray(np.moveaxis(images, -1, -3))
    if images.dtype == np.uint16:
        return torch.from_numpy(planes.astype(np.float32)).div_(DEEP_HALF).sub_(1.0)
    assert images.dtype == np.uint8, images.dtype
    tensor = torch.from_numpy(planes)
    return scale(tensor)


def scale(pixels: torch.Tensor) -> torch.Tensor:
    """Map a uint8 tensor in 0..255 to float32 in [-1, 1], shape and device kept."""
    return pixels.to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(tensor: torch.Tensor) -> np.ndarray:
    """Turn float [N,]C,H,W in [-1, 1] into uint8 [N,]H,W,C, clamped and rounded."""
    pixels = tensor.detach().float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(np.moveaxis(pixels.cpu().numpy(), -3, -1))


def to_uint16(tensor: torch.Tensor) -> np.ndarray:
    """Turn float [N,]C,H,W in [-1, 1] into uint16 [N,]H,W,C, clamped and rounded."""
    pixels = tensor.detach().float().add(1.0).mul(DEEP_HALF).round().clamp(0, 65535)
    return np.ascontiguousarray(np.moveaxis(pixels.cpu().numpy().astype(np.uint16), -3, -1))
