"""Features of images for distances between sets, and a cache of them that holds data only."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from more_itertools import chunked

from remint.core.arrays import to_tensor
from remint.core.atomic import replaced_file
from remint.networks import efflite

BATCH = 8  # the fastest on a CPU: larger ones leave its caches


class Extractor(Protocol):
    """Images to features. name: part of figures' names; version: changes whenever values would."""

    name: str
    version: str

    def __call__(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Map uint8 HWC images of any sizes, C 1 or 3, to float32 [N, D]."""
        ...


class EffLiteExtractor:
    """EfficientNet-Lite0's pooled features, 1280-d: real ImageNet weights, always at hand.

    Images are resized as a whole to 224 x 224 px, bilinear with antialiasing; grey is repeated.
    """

    name = efflite.NAME
    version = efflite.VERSION

    def __init__(self, device: torch.device) -> None:
        self._network = efflite.load(str(device))
        self._device = device

    @torch.inference_mode()
    def __call__(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Map uint8 HWC images of any sizes, C 1 or 3, to float32 [N, 1280]."""
        rows = [self._features(batch) for batch in chunked(images, BATCH)]
        return np.concatenate(rows) if rows else np.zeros((0, efflite.DIMENSIONS), np.float32)

    def _features(self, images: Sequence[np.ndarray]) -> np.ndarray:
        # one by one, since sizes differ: a batch must not change what an image becomes
        pixels = torch.cat([efflite.preprocess(to_tensor(image[None])) for image in images])
        pixels = pixels.to(self._device, memory_format=torch.channels_last)
        features: np.ndarray = self._network(pixels).float().cpu().numpy()
        return features


def cached_features(
    folder: Path,
    extractor: Extractor,
    fingerprint: str,
    ids: Sequence[str],
    images: Callable[[], Iterable[np.ndarray]],
) -> np.ndarray:
    """Return the features of rows `ids` of a data set, float32 [N, D], computed once.

    fingerprint: of the data set's content; images: opens the stream of those rows in order, called
    only when the file is absent or not whole.
    """
    key = json.dumps([extractor.version, fingerprint, list(ids)])
    name = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    path = Path(folder) / f"{extractor.name}-{name}.npy"
    features = _stored(path, len(ids))
    if features is None:
        features = extractor(images())
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as fresh, fresh.open("wb") as file:
            np.save(file, features, allow_pickle=False)
    return features


def _stored(path: Path, rows: int) -> np.ndarray | None:
    """Return the stored features if the file is there and whole; a broken one counts as absent."""
    try:
        features: np.ndarray = np.load(path, allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return features if len(features) == rows else None
