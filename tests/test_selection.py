"""Claims about the scores of snapshots: a generator that copies is found out while it trains."""

import numpy as np
import pytest
import torch

from remint.generator.data import LabelledDataConfig, LabelledSource
from remint.generator.selection import SnapshotConfig, SnapshotScores
from remint.images.imageset import ImageSet, Record, pixel_id, write

SIDE = 16


def drawn(count: int, seed: int) -> np.ndarray:
    """Bars anywhere, of any grey, uint8 [N, 16, 16, 1]: no two alike."""
    stream = np.random.default_rng(seed)
    images = stream.integers(0, 40, (count, SIDE, SIDE, 1))
    for image in images:
        top, left = stream.integers(0, SIDE - 6, 2)
        image[top : top + 6, left : left + 4] += stream.integers(60, 200)
        image[:, stream.integers(0, SIDE)] += stream.integers(0, 60)
    return images.clip(0, 255).astype(np.uint8)


class Painter:
    """Stands in for a Minter: gives out its images in turn."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def mint(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        return self.images[seeds % len(self.images)]

    def logits(self, images: np.ndarray, labels: np.ndarray) -> None:
        return None


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> SnapshotScores:
    path = tmp_path_factory.mktemp("few") / "clean"
    splits = ["train"] * 50 + ["val"] * 30
    records = [
        Record(pixel_id(image), image, split, "x", None)
        for image, split in zip(drawn(80, 1), splits, strict=True)
    ]
    write(path, records, metadata={"class_names": [], "channels": 1, "created": {}})
    clean = ImageSet(path)
    source = LabelledSource(clean, LabelledDataConfig(8, False, False, 0, 0.25), 0)
    config = SnapshotConfig(10, 30, 0.0, 0.3, 2.0, None, "kid")
    return SnapshotScores(source, clean, config, torch.device("cpu"))


def test_a_generator_of_new_images_raises_no_alarm(scores: SnapshotScores) -> None:
    figures = scores.signs(Painter(drawn(60, 2)))  # type: ignore[arg-type]
    assert figures["copy_share"] < 0.3 and scores.failure(figures, 1.0) is None


@pytest.mark.parametrize("noise", [0, 8])
def test_a_generator_that_learnt_fifty_images_by_heart_is_found_out(
    scores: SnapshotScores, noise: int
) -> None:
    copies = drawn(80, 1)[:50] + np.random.default_rng(0).normal(0, noise, (50, SIDE, SIDE, 1))
    painter = Painter(copies.clip(0, 255).astype(np.uint8))
    figures = scores.signs(painter)  # type: ignore[arg-type]
    assert figures["copy_share"] > 0.9
    assert "the generator copies" in str(scores.failure(figures, 1.0))
