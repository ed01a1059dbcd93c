"""Claims about decoded images in a file that processes share."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from remint.generator.data import LabelledDataConfig, LabelledSource, labelled_batches
from remint.images import decoded as module
from remint.images import imageset
from remint.images.decoded import decoded
from remint.images.imageset import ImageSet, Record


def write(path: Path, sides: list[int], seed: int = 0) -> ImageSet:
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (side, side, 1), dtype=np.uint8) for side in sides]
    records = [
        Record(imageset.pixel_id(image), image, "val" if n % 3 == 1 else "train", "", label=n % 2)
        for n, image in enumerate(images)
    ]
    imageset.write(path, records, metadata={"class_names": ["a", "b"], "channels": 1})
    return ImageSet(path)


@pytest.mark.parametrize("sides", [[8] * 9, [8, 9, 10, 11, 12, 13]])
def test_every_image_of_the_split_is_there_as_it_was(tmp_path: Path, sides: list[int]) -> None:
    images = write(tmp_path / "clean", sides)
    mapped = decoded(images, "train")
    assert mapped is not None
    expected = [image for _, image in images.images("train")]
    assert len(mapped) == len(expected)
    assert all(np.array_equal(mapped[k], image) for k, image in enumerate(expected))
    last = images.frame("train")["position"].to_numpy()[[-1, 0]]
    assert np.array_equal(mapped.at(last)[1], expected[0])


def test_what_travels_to_a_worker_is_a_path(tmp_path: Path) -> None:
    mapped = decoded(write(tmp_path / "clean", [64] * 90), "train")
    assert mapped is not None and mapped[0].shape == (64, 64, 1)
    sent = pickle.dumps(mapped)
    assert len(sent) < 1000 and np.array_equal(pickle.loads(sent)[3], mapped[3])


def test_a_set_is_decoded_once_and_its_earlier_content_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded(write(tmp_path / "clean", [8] * 6), "train")
    decoded(images := write(tmp_path / "clean", [8] * 6, seed=1), "train")
    kept = [path.name for path in (tmp_path / "cache/decoded").iterdir() if path.is_dir()]
    assert kept == [f"clean-train-{images.fingerprint}"]
    monkeypatch.setattr(module, "_make", None)
    assert decoded(ImageSet(tmp_path / "clean"), "train") is not None


def test_a_disk_without_room_is_said_and_costs_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPARE", 2**70)
    images = write(tmp_path / "clean", [8] * 6)
    with pytest.warns(UserWarning, match="no room for 256 bytes"):
        slow = LabelledSource(images, LabelledDataConfig(2, False, False, 0, 0.0), 0)
    quick = LabelledSource(images, LabelledDataConfig(2, False, False, 0, 0.5), 0)
    assert slow.stack is None
    assert np.array_equal(slow.pixels(np.arange(4)), quick.pixels(np.arange(4)))


@pytest.mark.parametrize(("workers", "share"), [(0, 0.0), (2, 0.5)])
def test_the_way_of_reading_changes_no_batch_of_a_generator(
    tmp_path: Path, workers: int, share: float
) -> None:
    images = write(tmp_path / "clean", [8] * 12)
    plain, other = (
        labelled_batches(LabelledSource(images, LabelledDataConfig(4, True, True, w, s), 0), 4)
        for w, s in ((0, 0.5), (workers, share))
    )
    for _ in range(3):
        one, same = next(plain), next(other)
        assert one.real.equal(same.real) and one.generator_labels.equal(same.generator_labels)
