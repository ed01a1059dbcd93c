"""Images of any size through networks that need multiples."""

from collections.abc import Callable

import torch
import torch.nn.functional as F


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Grow N,C,H,W at bottom and right to multiples, by reflection (repeating where too small)."""
    height, width = x.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    if not bottom and not right:
        return x
    mode = "reflect" if bottom < height and right < width else "replicate"
    return F.pad(x, (0, right, 0, bottom), mode=mode)


def run_padded(
    network: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, multiple: int
) -> torch.Tensor:
    """Return network(x) for N,C,H,W of any size, padded and cropped back."""
    return network(pad_to_multiple(x, multiple))[..., : x.shape[-2], : x.shape[-1]]
