"""A small model, a picture, and `remint restore` called as from a shell."""

from pathlib import Path

import numpy as np
import torch

from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.restorer import save_card, save_weights
from tasks.commands import cli


def small_model(folder: Path) -> Path:
    """Write a model whose residual network changes its input a little; return its folder."""
    config = {"name": "dncnn", "width": 4, "encoder": [], "middle": 0, "stem": 1, "depth": 2}
    torch.manual_seed(0)
    network = build_network(NetworkConfig(**{**config, "encoder": ()}), channels=3)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(0.3)
    save_weights(folder, "fidelity", network)
    save_card(folder, {"network": config, "channels": 3, "default_interpolation": 0.0})
    return folder


def scene(height: int = 24, width: int = 32, channels: int = 3) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 5, columns * 6, rows + columns], -1)[:, :, :channels].astype(np.uint8)


def restore(model: Path, *arguments: object) -> int:
    try:
        cli.main(["restore", *map(str, arguments), "--model", str(model), "--device", "cpu"])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
