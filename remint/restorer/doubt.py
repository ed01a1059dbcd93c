"""The map of doubt: how many levels a restored pixel may be off, by a head beside the restorer.

The head sees the damaged and the restored picture and answers with a scale u >= 0 for each pixel;
lambda times u is the half-width of its interval, and `calibration` chooses lambda on held-out
pictures, so that the promise does not rest on the head being right.

errors:
    ValueError   the model has no map, or can't promise one for what is asked
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from remint.core.arrays import to_tensor
from remint.networks.weights import read_network
from remint.restorer.restorer import Restorer

WEIGHTS = "doubt.safetensors"
SECTION = "doubt"  # of a model's card
LEVELS = 127.5  # of 0..255, in the unit of [-1, 1]
WIDTH, REACH = 32, 3  # channels; px that the head looks around each pixel
LEAST = 1e-3  # of [-1, 1]: an eighth of a level, so that no pixel is beyond any lambda
START = -3.5  # softplus of it is 4 levels, about what restored pixels are off
QUARTER = 0.25  # share of a picture's pixels, the most doubtful ones, that the promise speaks of
STRIP_PIXELS = 2**16  # done at once: 8 MB a layer, which caches hold


class DoubtHead(nn.Module):
    """Three convolutions: damaged and restored N,C,H,W in [-1, 1] to u, N,1,H,W, in their unit.

    factor: lambda, which calibration sets; it lies among the weights, so that a model's
    fingerprint covers it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(2 * channels, WIDTH, 3, padding=1)
        self.second = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.ending = nn.Conv2d(WIDTH, 1, 3, padding=1)
        nn.init.zeros_(self.ending.weight)
        nn.init.constant_(self.ending.bias, START)  # type: ignore[arg-type]
        self.factor: torch.Tensor
        self.register_buffer("factor", torch.ones(()))

    def forward(self, damaged: torch.Tensor, restored: torch.Tensor) -> torch.Tensor:
        seen = (torch.cat([damaged, restored], dim=1) + 1) / 2  # zero padding means black
        hidden = F.relu(self.second(F.relu(self.first(seen))))
        return F.softplus(self.ending(hidden).float()) + LEAST


class Doubt:
    """A head in use, on pictures as files hold them."""

    def __init__(self, head: DoubtHead, channels: int, device: torch.device) -> None:
        laid = head.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head: DoubtHead = laid.eval().requires_grad_(False)
        self.channels, self.device = channels, device

    @classmethod
    def load(cls, folder: Path | str, restorer: Restorer) -> "Doubt":
        """Load the head of the folder that `restorer` came from.

        Raises ValueError where there is none, or where the restorer blends its weights otherwise
        than the head has seen.
        """
        folder = Path(folder)
        refuse_without(restorer.card, folder)
        refuse_other_blend(restorer)
        head = DoubtHead(restorer.channels)
        try:
            head.load_state_dict(read_network(folder / WEIGHTS))
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"{folder / WEIGHTS} is no map of doubt for this model ({error}); train it again "
                "or fetch it anew"
            ) from error
        return cls(head, restorer.channels, restorer.device)

    @torch.inference_mode()
    def scales(self, damaged: np.ndarray, restored: np.ndarray) -> np.ndarray:
        """Return u of a picture in levels of 0..255, float32 HW: before lambda.

        Both pictures uint8 or uint16 HWC of one shape. Done in strips that overlap by what the
        head sees, so the answer is that of the whole picture.
        """
        height, width = damaged.shape[:2]
        rows = max(1, STRIP_PIXELS // width)
        strips = []
        for top in range(0, height, rows):
            start, end = max(0, top - REACH), min(height, top + rows + REACH)
            pair = (self._planes(picture[start:end]) for picture in (damaged, restored))
            strip = self.head(*pair)[0, 0, top - start :][: min(rows, height - top)]
            strips.append(strip.cpu().numpy())
        return np.concatenate(strips) * np.float32(LEVELS)

    def _planes(self, picture: np.ndarray) -> torch.Tensor:
        """Return a picture as the head takes it: grey in all of its channels, or one of three."""
        planes = to_tensor(picture[None])[:, : self.channels]
        wide = planes.expand(-1, self.channels, -1, -1)
        return wide.to(self.device, memory_format=torch.channels_last)

    def bounds(self, scales: np.ndarray) -> np.ndarray:
        """Return the map, uint8 HW: v means that a pixel lies within v levels of 255."""
        return bounds(scales, float(self.head.factor))

    def map_of(self, damaged: np.ndarray, restored: np.ndarray) -> np.ndarray:
        """Return the map of a restored picture, uint8 HW, of pictures as `scales` takes them."""
        return self.bounds(self.scales(damaged, restored))


def bounds(scales: np.ndarray, factor: float) -> np.ndarray:
    """Return lambda u in whole levels, uint8: half up, so that it never falls as lambda grows."""
    return np.minimum(np.floor(scales * np.float32(factor) + np.float32(0.5)), 255).astype(np.uint8)


def errors_of(restored: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return how many levels each pixel of uint8 HWC is off, uint8 HW: in its worst channel."""
    return np.abs(restored.astype(np.int16) - clean).max(axis=2).astype(np.uint8)


def most_doubtful(scales: np.ndarray) -> np.ndarray:
    """Return bool HW: the quarter of the pixels with the largest u, and all that equal them.

    So a head that finds all pixels alike is held to all of them.
    """
    kept = -(-scales.size * QUARTER // 1)
    return scales >= np.partition(scales.ravel(), -int(kept))[-int(kept)]


def promise(card: Mapping[str, Any]) -> str:
    """Return what the map of a model with this card promises, and what not."""
    held = 1 - card[SECTION]["alpha"]
    return (
        "on average over pictures damaged like those that the model was trained on, at least "
        f"{held:.0%} of the most doubtful quarter of a picture's pixels lie within the levels of "
        "its map; nothing is promised for other damage, for a single picture or a single pixel"
    )


def refuse_without(card: Mapping[str, Any], folder: Path) -> None:
    """Raise ValueError where a model has no map of doubt, with the reason that its card gives."""
    section = card.get(SECTION)
    if not section or "refused" in section:
        reason = f" ({section['refused']})" if section else ""
        raise ValueError(
            f"{folder}: this model has no map of doubt{reason}; choose one that has, or add it: "
            "python -m tasks.train_restorer --doubt-alone CLEAN CORRUPTED MODEL"
        )


def refuse_other_blend(restorer: Restorer) -> None:
    """Raise ValueError where a restorer's weights are not those that its map was made for."""
    made = restorer.card[SECTION]["interpolation"]
    if restorer.interpolation != made:
        raise ValueError(
            f"the map of doubt was made for interpolation {made:g} and {restorer.interpolation:g} "
            "was asked for, of which it knows nothing; leave one of the two out"
        )
