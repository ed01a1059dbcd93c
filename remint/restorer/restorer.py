"""A trained restorer on disk and in memory.

errors:
    ValueError   the folder holds no restorer, is damaged, or was made by a newer Remint
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from remint.core.atomic import replaced_file
from remint.core.device import Precision, autocast, pick_device, resolved
from remint.core.fingerprint import model_fingerprint
from remint.core.ranges import CardShape, check
from remint.networks.weights import read_network, save_network
from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.networks.padding import run_padded

CARD = "restorer.json"
FORMAT = 1
# what adds a residual of dense convolutions to its float32 input: bf16 is faster where the device
# computes it, and costs a thousandth of a dB, up to a tenth where a sharpened image is nearly whole
DENSE = ("plain_unet", "unet", "dncnn")
FIDELITY, ADVERSARIAL = "fidelity", "adversarial"
# px that tiles of one picture share; what sharpens looks farther around
OVERLAP, OVERLAP_OF_SHARPENING = 64, 112


def save_weights(folder: Path, stage: str, network: nn.Module) -> None:
    """Write the network's tensors as STAGE.safetensors, whole or not at all."""
    save_network(Path(folder) / f"{stage}.safetensors", network)


def save_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write restorer.json, which makes the folder a model: write it last."""
    text = json.dumps({"format": FORMAT, **card}, indent=2, sort_keys=True) + "\n"
    with replaced_file(Path(folder) / CARD) as path:
        path.write_text(text)


def interpolate(
    fidelity: Mapping[str, torch.Tensor], adversarial: Mapping[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Blend weights, share 0 (fidelity) to 1 (adversarial) (ESRGAN, arXiv 1809.00219, 3.4)."""
    return {
        name: old.lerp(adversarial[name], share) if old.is_floating_point() else adversarial[name]
        for name, old in fidelity.items()
    }


class Restorer:
    """A network that restores images: float32 N,C,H,W in [-1, 1] to the same, not clipped.

    precision: of its passes; auto: bf16 for DENSE networks where the device gains by it, else fp32.
    """

    def __init__(
        self,
        network: nn.Module,
        card: Mapping[str, Any],
        device: torch.device,
        precision: Precision = "fp32",
    ) -> None:
        self.network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.network.requires_grad_(False)
        self.card = dict(card)
        self.fingerprint = ""  # of the folder that it was loaded from
        self.interpolation = 0.0  # of its weights
        self.device = device
        dense = precision != "auto" or card["network"]["name"] in DENSE
        self.precision = resolved(device, precision) if dense else "fp32"
        self.channels: int = card["channels"]
        self.multiple: int = network.multiple  # type: ignore[assignment]

    def overlap(self, tile: int, asked: int | None) -> int:
        """Return the px asked for, if None as many as tiles of that side need for no seam."""
        if asked is not None:
            return asked
        sharpens = self.card["network"].get("sharpening", 0) > 0
        return min(OVERLAP_OF_SHARPENING if sharpens else OVERLAP, (tile - 1) // 2)

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        interpolation: float | None = None,
        device: str = "auto",
        precision: Precision = "fp32",
    ) -> "Restorer":
        """Load a model folder.

        interpolation: 0 the fidelity weights, 1 the adversarial ones, between a blend; None is
        the model's own default. Raises ValueError where that can't be done.
        """
        folder = Path(folder)
        card = read_card(folder)
        try:
            share = card["default_interpolation"] if interpolation is None else interpolation
            share = float(share)
            network = _network(card, f"{folder / CARD}: ")
            network.load_state_dict(_weights(folder, share))
        except (RuntimeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{folder}: its weights do not fit the network of {CARD} ({error!r}); the folder "
                "is damaged, train it again or fetch it anew"
            ) from error
        restorer = cls(network, card, pick_device(device), precision)
        restorer.fingerprint = model_fingerprint(folder)
        restorer.interpolation = share
        return restorer

    @torch.inference_mode()
    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Restore float N,C,H,W in [-1, 1] of any H and W; C must be `channels`."""
        moved = batch.to(self.device, memory_format=torch.channels_last)
        with autocast(self.device, self.precision):
            restored = run_padded(self.network, moved, self.multiple)
        return restored.to(batch.device, torch.float32)


def read_card(folder: Path) -> dict[str, Any]:
    """Return restorer.json; ValueError where the folder is no restorer of this format."""
    try:
        card = json.loads((folder / CARD).read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{folder}: found no {CARD}, needed a trained restorer; train one, or name another"
        ) from None
    except ValueError as error:
        raise ValueError(f"{folder / CARD} is not readable JSON ({error}); train again") from error
    written = card.get("format") if isinstance(card, dict) else None
    if written != FORMAT:
        raise ValueError(
            f"{folder / CARD}: found format {written}, needed {FORMAT}; use the Remint that "
            "wrote it"
        )
    return card


def network_config(card: Mapping[str, Any]) -> NetworkConfig:
    """Return the configuration of a card's network; TypeError or KeyError where it holds none."""
    values = card["network"]
    return NetworkConfig(**{**values, "encoder": tuple(values["encoder"])})


def _network(card: Mapping[str, Any], prefix: str) -> nn.Module:
    config = network_config(card)
    check(config, f"{prefix}network.")
    check(CardShape(card["channels"]), prefix)
    return build_network(config, card["channels"])


def _weights(folder: Path, share: float) -> dict[str, torch.Tensor]:
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"interpolation: found {share}, needed 0 (fidelity) to 1 (adversarial)")
    if share > 0 and not (folder / f"{ADVERSARIAL}.safetensors").exists():
        raise ValueError(
            f"{folder}: it has no adversarial weights and interpolation is {share}; use 0"
        )
    if share in (0.0, 1.0):
        return _read_weights(folder, ADVERSARIAL if share else FIDELITY)
    return interpolate(_read_weights(folder, FIDELITY), _read_weights(folder, ADVERSARIAL), share)


def _read_weights(folder: Path, stage: str) -> dict[str, torch.Tensor]:
    path = folder / f"{stage}.safetensors"
    try:
        return read_network(path)
    except ValueError as error:
        raise ValueError(
            f"{path} can't be used as weights ({error}); train again or fetch it anew"
        ) from error
