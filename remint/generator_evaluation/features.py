"""Spaces of features for generated images: pretrained networks and the set's own classifier.

Figures carry the space's name; distances of different spaces are never compared.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from more_itertools import chunked

from remint.classifier.train import FORMAT, Classifier, ClassifierConfig, train_classifier
from remint.core.arrays import to_tensor
from remint.core.randomness import philox_key
from remint.images.imageset import ImageSet
from remint.metrics.features import EffLiteExtractor, Extractor
from remint.metrics.optional import inception_extractor
from remint.metrics.spaces import THUMBNAIL, thumbnails

BATCH = 128
DINO_MODELS = ("dinov2_vitl14", "dinov2_vitb14", "dinov2_vits14")  # the published choice first
DINO_FOLDER = "facebookresearch_dinov2_main"
DINO_SIZE = 224
# Mean and standard deviation of ImageNet's colours, 0..1, as DINOv2 was trained
COLOUR_MEAN, COLOUR_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ClassifierExtractor:
    """The last hidden layer of a classifier trained on the set itself.

    For sets that look nothing like photographs, where networks trained on photographs see little.
    """

    name = "classifier"

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.version = f"{self.name}-{classifier.fingerprint}"

    def __call__(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Map uint8 HWC images of the classifier's shape to float32 [N, D]."""
        return np.concatenate(
            [self.classifier.features(np.stack(part)) for part in chunked(images, BATCH)]
        )


class ThumbnailExtractor:
    """16 x 16 px, for looking up neighbours: a distance is a root mean square difference."""

    name = "pixels"
    version = f"pixels-{THUMBNAIL}-area-1"

    def __call__(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Map uint8 HWC images of one number of channels to float32 [N, D]."""
        return np.concatenate([thumbnails(np.stack(part)) for part in chunked(images, BATCH)])


class DinoExtractor:
    """DINOv2's class token (Oquab et al., arXiv 2304.07193): 1024-d, 768-d or 384-d.

    The whole image resized to 224 x 224 px, bicubic with antialiasing, as for FD-DINOv2 (Stein et
    al., arXiv 2306.04675). Code and weights are those in torch's hub folder.
    """

    def __init__(self, name: str, hub: Path, device: torch.device) -> None:
        self.name = name
        weights = hub / "checkpoints" / f"{name}_pretrain.pth"
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        self.version = f"{name}-{digest[:12]}-{DINO_SIZE}-bicubic-1"
        network = torch.hub.load(str(hub / DINO_FOLDER), name, source="local", pretrained=False)
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self._network, self._device = network.eval().requires_grad_(False).to(device), device

    @torch.inference_mode()
    def __call__(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Map uint8 HWC images of any sizes, C 1 or 3, to float32 [N, D]."""
        rows = [self._network(_dino_input(image).to(self._device)) for image in images]
        return torch.cat(rows).float().cpu().numpy()


def _dino_input(image: np.ndarray) -> torch.Tensor:
    pixels = (to_tensor(image[None]).expand(-1, 3, -1, -1) + 1.0) / 2.0
    size = (DINO_SIZE, DINO_SIZE)
    sized = F.interpolate(pixels, size, mode="bicubic", align_corners=False, antialias=True)
    mean, std = (torch.tensor(values)[None, :, None, None] for values in (COLOUR_MEAN, COLOUR_STD))
    return (sized.clamp(0.0, 1.0) - mean) / std


def dino_extractor(device: torch.device) -> tuple[Extractor | None, str]:
    """Return DINOv2 with the largest weights at hand, or None, and a note. Nothing is fetched."""
    hub = Path(torch.hub.get_dir())
    present = [n for n in DINO_MODELS if (hub / "checkpoints" / f"{n}_pretrain.pth").is_file()]
    if not present or not (hub / DINO_FOLDER / "hubconf.py").is_file():
        return None, (
            f"DINOv2 is absent: torch's hub folder holds no {DINO_FOLDER} with the weights of "
            f"{', '.join(DINO_MODELS)} in checkpoints."
        )
    return DinoExtractor(present[0], hub, device), f"DINOv2: {present[0]}."


def pretrained_spaces(device: torch.device) -> tuple[list[Extractor], list[str]]:
    """Return EfficientNet-Lite0, and Inception and DINOv2 where their weights lie here; notes."""
    optional = [inception_extractor(device), dino_extractor(device)]
    others = [extractor for extractor, _ in optional if extractor is not None]
    return [EffLiteExtractor(device), *others], [note for _, note in optional]


def read_images(clean: ImageSet, positions: np.ndarray) -> np.ndarray:
    """Return uint8 [N, H, W, C] of some rows of a set; they are read in the set's own order.

    Raises ValueError where their sizes differ.
    """
    order = np.argsort(positions, kind="stable")
    images = [clean.at(int(positions[row]))[1] for row in order]
    if len({image.shape for image in images}) > 1:
        raise ValueError(
            f"{clean.path} has images of several sizes; ingest it with another fit than keep"
        )
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return np.stack(images)[back]


def by_hash(rows: pd.DataFrame, seed: int, stage: str) -> pd.DataFrame:
    """Order rows of a set's frame by a hash of their ids: a sample that grows from its front."""
    keys = [philox_key(seed, stage, str(name)) for name in rows["id"]]
    return rows.iloc[np.argsort(np.array(keys, dtype=object), kind="stable")]


def set_classifier(
    clean: ImageSet, config: ClassifierConfig, images: int, seed: int, cache: Path, device: str
) -> Classifier:
    """Return a classifier trained on up to `images` of the train split, chosen by hash.

    Kept in the folder `cache` by content: the same data and settings are trained on once. Raises
    ValueError for a set without classes.
    """
    key = json.dumps([clean.fingerprint, str(config), images, seed, FORMAT])
    name = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    path = Path(cache) / f"classifier-{name}.safetensors"
    if not path.exists():
        frame = by_hash(clean.frame("train").dropna(subset="label"), seed, "classifier")
        chosen = frame.head(images)
        pixels = read_images(clean, chosen["position"].to_numpy())
        labels = chosen["label"].to_numpy(np.int64)
        trained = train_classifier(pixels, labels, len(clean.class_names), config, seed, device)
        path.parent.mkdir(parents=True, exist_ok=True)
        trained.save(path)
    return Classifier.load(path, device)
