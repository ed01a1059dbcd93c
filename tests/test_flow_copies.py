"""The claim that a flow which learns few images by heart is found, and not before it does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from remint.generator.generator import Minter
from remint.generator.selection import SnapshotConfig
from remint.generator.train import train_generator
from remint.images import imageset
from remint.images.imageset import ImageSet, Record
from remint.ingest.embedded import digits_source
from remint.metrics.suspects import calibrate, look, look_among_training, pixel_spaces
from remint.training.health import Diverged
from remint.training.optimisers import OptimiserConfig
from remint.training.schedule import Budget
from tests.test_minting import CONFIG, NETWORK

SIDE, FEW = 16, 50
LONG = replace(
    CONFIG,
    network=replace(NETWORK, name="flow", width=16, steps=6),
    data=replace(CONFIG.data, batch=FEW),
    loss=replace(CONFIG.loss, augment="none"),
    budget=Budget(30_000, None),
    optimiser=OptimiserConfig(1e-3, 1e-6, (0.9, 0.99), 0.99, 0.0, 4e-3, 0.03),
    snapshots=SnapshotConfig(6000, FEW, 0.3, 0.3, 2.0, None, "kid"),
    loop=replace(
        CONFIG.loop,
        clip=1.0,
        ema_half_life=2000,
        log_every=6000,
        checkpoint_every=6000,
        health=replace(CONFIG.loop.health, drift_limit=None, rollbacks=0),
    ),
)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Fifty small digits to learn from and fifty others."""
    records = []
    for number, item in enumerate(list(digits_source().items())[::50]):
        assert isinstance(item.image, np.ndarray)
        small = Image.fromarray(item.image[:, :, 0]).resize((SIDE, SIDE))
        image, split = np.asarray(small)[:, :, None], "val" if number % 2 else "train"
        records.append(Record(imageset.pixel_id(image), image, split, "", label=item.label))
    path = tmp_path_factory.mktemp("few") / "clean"
    names = [str(digit) for digit in range(10)]
    imageset.write(path, records, metadata={"class_names": names, "channels": 1})
    return ImageSet(path)


def suspected(minter: Minter, clean: ImageSet) -> float:
    """Return the share of minted images that copy check and filter suspect."""
    training = np.stack([image for _, image in clean.images("train")])
    spaces = pixel_spaces(training, 0.08)
    alarm = calibrate(look_among_training(spaces, np.arange(len(training))), 0.01)
    minted = minter.mint(np.arange(100) % 10, np.arange(1000, 1100))
    return float(alarm(look(spaces, minted)).mean())


@pytest.mark.slow
def test_a_flow_that_copies_is_stopped_and_its_images_are_suspected(
    clean: ImageSet, tmp_path: Path
) -> None:
    shares, minter = [], None
    with pytest.raises(Diverged, match="the generator copies"):
        for report in train_generator(LONG, clean, tmp_path):
            shares.append(report.figures.get("copy_share", 0.0))
            minter = report.minter
    assert shares[0] < 0.1  # before it knew them by heart
    assert minter is not None and suspected(minter, clean) > 0.5
