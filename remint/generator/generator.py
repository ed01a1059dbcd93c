"""A trained generator on disk and in memory.

errors:
    ValueError   the folder holds no generator, is damaged, or was made by a newer Remint
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from remint.core.arrays import to_tensor, to_uint8
from remint.core.device import autocast, pick_device
from remint.core.fingerprint import model_fingerprint
from remint.core.randomness import generator
from remint.core.ranges import CardShape, check
from remint.generator.networks.catalogue import (
    GeneratorConfig,
    build_discriminator,
    build_generator,
    sampling_precision,
)
from remint.networks.weights import read_network

CARD = "generator.json"
WEIGHTS, DISCRIMINATOR_WEIGHTS = "generator.safetensors", "discriminator.safetensors"
FORMAT = 1
BATCH = 64


class Minter:
    """Labels and seeds in, images out; image k depends on (label k, seed k) alone.

    On a CPU bit for bit; on a GPU, whose kernels and roundings follow the size of the batch that it
    is minted in, within about a level of 255.
    """

    def __init__(
        self,
        network: nn.Module,
        discriminator: nn.Module | None,
        card: Mapping[str, Any],
        device: torch.device,
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.discriminator = (
            discriminator.to(device).eval().requires_grad_(False) if discriminator else None
        )
        self.card, self.device = dict(card), device
        self.fingerprint = ""  # of the folder that it was loaded from
        self.channels: int = card["channels"]
        self.size: int = card["size"]
        self.class_names: list[str] = list(card["class_names"])
        self.classes: int = max(1, len(self.class_names))
        self.latent: int = card["network"]["latent"]
        self.precision = sampling_precision(card["network"]["name"])

    @classmethod
    def load(cls, folder: Path | str, *, device: str = "auto") -> "Minter":
        """Load a model folder; ValueError says what is missing or damaged."""
        folder = Path(folder)
        card = read_card(folder)
        try:
            network, discriminator = _networks(card, f"{folder / CARD}: ")
        except (RuntimeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{folder / CARD} describes no network ({error!r}); the folder is damaged, train "
                "it again or fetch it anew"
            ) from error
        _load_into(network, folder / WEIGHTS)
        if discriminator is not None:
            _load_into(discriminator, folder / DISCRIMINATOR_WEIGHTS)
        minter = cls(network, discriminator, card, pick_device(device))
        minter.fingerprint = model_fingerprint(folder)
        return minter

    def watching(self, discriminator: nn.Module | None) -> "Minter":
        """Take a live discriminator along, as it is: training goes on with it."""
        self.discriminator = discriminator
        return self

    def latents(self, seeds: np.ndarray) -> torch.Tensor:
        """Return float32 [N, latent], row k from N(0, 1) by seeds[k] alone."""
        drawn = [
            generator(int(seed), "mint", "").standard_normal(self.latent, np.float32)
            for seed in seeds
        ]
        return torch.from_numpy(np.stack(drawn)) if drawn else torch.zeros(0, self.latent)

    def mint(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Return uint8 [N, S, S, C] for int labels [N] and seeds [N].

        Raises ValueError for a label that is no class of this model.
        """
        wrong = [int(label) for label in labels if not 0 <= label < self.classes]
        if wrong:
            raise ValueError(f"label: found {wrong[0]}, needed 0 to {self.classes - 1}")
        return self.decode(self.latents(seeds), labels)

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor, labels: np.ndarray) -> np.ndarray:
        """Return uint8 [N, S, S, C] for latents [N, latent] and labels [N]."""
        classes = torch.from_numpy(np.asarray(labels, dtype=np.int64))
        batches = zip(latents.split(BATCH), classes.split(BATCH), strict=True)
        empty = np.zeros((0, self.size, self.size, self.channels), np.uint8)
        return np.concatenate([empty, *(self._decoded(z, labels) for z, labels in batches)])

    def _decoded(self, z: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
        """Return the images of one batch; a lone one beside a copy, since one row rounds alone."""
        count = len(z)
        if count == 1:
            z, labels = z.repeat(2, 1), labels.repeat(2)
        with autocast(self.device, self.precision):
            images = self.network(z.to(self.device), labels.to(self.device))
        # A CPU-GPU sync point; of a network in training `health` takes care
        if self.fingerprint and not torch.isfinite(images).all():
            raise ValueError(
                "the generator's answer holds values that are not finite, so its weights are "
                "broken; train it again or fetch it anew"
            )
        return to_uint8(images.float()[:count])

    @torch.inference_mode()
    def logits(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        """Return the discriminator's logits float32 [N] for uint8 [N, S, S, C]; None for a VAE."""
        if self.discriminator is None:
            return None
        training = self.discriminator.training
        self.discriminator.eval()  # a score must not move batch-norm's running means
        scores = [np.zeros(0, np.float32)]
        for start in range(0, len(images), BATCH):
            part = to_tensor(images[start : start + BATCH]).to(self.device)
            classes = torch.from_numpy(np.asarray(labels[start : start + BATCH], np.int64))
            scores.append(self.discriminator(part, classes.to(self.device)).cpu().numpy())
        self.discriminator.train(training)
        return np.concatenate(scores)


def read_card(folder: Path) -> dict[str, Any]:
    """Return generator.json; ValueError where the folder is no generator of this format."""
    try:
        card = json.loads((folder / CARD).read_text())
    except FileNotFoundError:
        raise ValueError(
            f"{folder}: found no {CARD}, needed a trained generator; train one, or name another"
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


def _networks(card: Mapping[str, Any], prefix: str) -> tuple[nn.Module, nn.Module | None]:
    config = GeneratorConfig(**card["network"])
    check(config, f"{prefix}network.")
    check(CardShape(card["channels"], card["size"]), prefix)
    shape = (card["channels"], card["size"], max(1, len(card["class_names"])))
    return build_generator(config, *shape), build_discriminator(config, *shape)


def _load_into(network: nn.Module, path: Path) -> None:
    try:
        network.load_state_dict(read_network(path))
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path} can't be used as this model's weights ({error}); train again or fetch it anew"
        ) from error
