"""A generator as an ONNX file: latents and labels in, images in 0..1 out."""

from pathlib import Path

import torch
from torch import nn

from remint.generator.generator import Minter
from remint.networks.onnx_file import write_onnx

TRACED, OTHER = 3, 5  # images


class MintingGraph(nn.Module):
    """latent float32 [N, Z] from N(0, 1) and label int64 [N] to image float32 N,C,S,S in 0..1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, latent: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return ((self.network(latent, label) + 1) / 2).clamp(0, 1)


def export_generator(minter: Minter, path: Path) -> float:
    """Write the generator as ONNX; inputs `latent` and `label`, output `image`; see `write_onnx`.

    In fp32, where `remint mint` may use bf16: a pixel may differ by a level from the one minted.
    """
    drawn = torch.Generator().manual_seed(0)
    traced, other = (
        {
            "latent": torch.randn(count, minter.latent, generator=drawn),
            "label": torch.arange(count) % minter.classes,
        }
        for count in (TRACED, OTHER)
    )
    about = {
        "kind": "generator",
        "class_names": minter.class_names,
        "fingerprint": minter.fingerprint,
        "latent": minter.latent,
        "card": minter.card,
    }
    graph, free = MintingGraph(minter.network.to("cpu")), {"latent": (0,), "label": (0,)}
    return write_onnx(path, graph, traced, other, free, "image", about)
