"""Figures whose weights no package carries: used where they lie on this disk, else a note.

Nothing here downloads (remint.metrics.published does, if it is asked to), and nothing else stands
in for what is absent. Weights are looked for in `checkpoints` of torch's hub folder (TORCH_HOME),
where the packages themselves would put them.
"""

import hashlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from more_itertools import chunked

from remint.core.arrays import to_tensor
from remint.metrics.features import BATCH, Extractor
from remint.metrics.pixels import PairDistance

ALEXNET = "alexnet-owt-7be5be79.pth"
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
LEAST_SIDE = 32  # px: AlexNet's pooling leaves nothing of smaller images


def hub_file(name: str) -> Path | None:
    """Return a weights file of torch's hub folder if it is there and its hash is the name's.

    torch's names end in the first 8 hex digits of the file's sha256.
    """
    path = hub_path(name)
    return path if path.is_file() and has_hash(path, name) else None


def hub_path(name: str) -> Path:
    """Return where torch keeps a weights file of this name."""
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def has_hash(path: Path, name: str) -> bool:
    """Say whether the file's sha256 starts with the hex digits that end the name's stem."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return digest.startswith(Path(name).stem.rsplit("-", 1)[1])


def lpips_distance(device: torch.device) -> tuple[PairDistance | None, str]:
    """Return LPIPS (Zhang et al., arXiv 1801.03924; AlexNet, v0.1) or None, and a note.

    The distance takes two uint8 HWC images; NaN for a side under 32 px.
    """
    missing = _missing("lpips", ALEXNET)
    if missing:
        return None, f"LPIPS is absent: {missing}."
    import lpips

    network = lpips.LPIPS(net="alex", version="0.1", verbose=False).to(device)

    @torch.inference_mode()
    def distance(image: np.ndarray, target: np.ndarray) -> float:
        if min(image.shape[:2]) < LEAST_SIDE:
            return float("nan")
        x, y = (_colour(to_tensor(picture[None])).to(device) for picture in (image, target))
        return float(network(x, y))

    return distance, "LPIPS: AlexNet, version 0.1."


def inception_extractor(device: torch.device) -> tuple[Extractor | None, str]:
    """Return the Inception-v3 pool features of FID (2048-d) or None, and a note."""
    missing = _missing("torch_fidelity", INCEPTION)
    if missing:
        return None, f"Inception FID is absent: {missing}."
    return InceptionExtractor(device), "Inception FID: torch-fidelity's network and weights."


class InceptionExtractor:
    """The FID network of torch-fidelity; the weights file's hash was checked before."""

    name = "inception"
    version = f"inception-{INCEPTION}-1"

    def __init__(self, device: torch.device) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        path = str(hub_file(INCEPTION))
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=path
        )
        self._network, self._device = network.eval().to(device), device

    @torch.inference_mode()
    def __call__(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Map uint8 HWC images of any sizes, C 1 or 3, to float32 [N, 2048]."""
        return np.concatenate([self._features(batch) for batch in chunked(images, BATCH)])

    def _features(self, images: list[np.ndarray]) -> np.ndarray:
        rows = []
        for image in images:  # one by one: the network resizes, and sizes differ
            pixels = np.broadcast_to(image, (*image.shape[:2], 3))
            tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
            rows.append(self._network(tensor.to(self._device))[0].float().cpu().numpy())
        return np.concatenate(rows)


def _missing(package: str, weights: str) -> str:
    """Say what is not on this disk; an empty string when all is."""
    if find_spec(package) is None:
        return f"the package {package} is not installed"
    if hub_file(weights) is None:
        return f"no file {weights} with the right content lies in torch's hub folder"
    return ""


def _colour(batch: torch.Tensor) -> torch.Tensor:
    return batch.expand(-1, 3, -1, -1) if batch.shape[1] == 1 else batch
