"""A restorer as an ONNX file: pictures of any size in, the same size out, 0..1 both."""

from pathlib import Path

import torch
from torch import nn

from remint.networks.onnx_file import write_onnx
from remint.restorer.restorer import Restorer

TRACED, OTHER = (2, 48, 56), (3, 37, 61)  # images, height, width


class RestoringGraph(nn.Module):
    """float32 N,C,H,W in 0..1 to the same, clipped; padded inside to the network's multiple."""

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network, self.multiple = network, multiple

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[-2:]
        rows, columns = (_mirrored(side, self.multiple, image.device) for side in (height, width))
        padded = image.index_select(-2, rows).index_select(-1, columns)
        restored = self.network(padded * 2 - 1)[..., :height, :width]
        return ((restored + 1) / 2).clamp(0, 1)


def _mirrored(side: int, multiple: int, device: torch.device) -> torch.Tensor:
    """Return int64 indices 0..side - 1, then back by reflection up to a multiple.

    A picture too small for that, of fewer px than the multiple, ends in its first row again and
    again; `run_padded` repeats its last one there.
    """
    whole = torch.arange(side + (-side) % multiple, device=device)
    return (side - 1 - (side - 1 - whole).abs()).clamp(min=0)


def export_restorer(restorer: Restorer, path: Path) -> float:
    """Write the restorer as ONNX; input `image`, output `restored`; see `write_onnx`."""
    network = restorer.network.to("cpu", torch.float32, memory_format=torch.contiguous_format)
    drawn = torch.Generator().manual_seed(0)
    traced, other = (
        {"image": torch.rand(count, restorer.channels, height, width, generator=drawn)}
        for count, height, width in (TRACED, OTHER)
    )
    about = {
        "kind": "restorer",
        "channels": restorer.channels,
        "fingerprint": restorer.fingerprint,
        "interpolation": restorer.interpolation,
        "card": restorer.card,
    }
    graph, free = RestoringGraph(network, restorer.multiple), {"image": (0, 2, 3)}
    return write_onnx(path, graph, traced, other, free, "restored", about)
