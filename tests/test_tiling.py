"""Claims about restoring whole images in tiles."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from remint.restorer.ensemble import SelfEnsemble
from remint.restorer.tiling import (
    of_one_shape,
    places,
    restore_batch,
    restore_image,
    tile_shape,
)


class Blur:
    """A local network: looks 2 px around each pixel."""

    def __init__(self, channels: int = 3) -> None:
        self.channels = channels
        self.largest = 0

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        assert batch.shape[1] == self.channels
        self.largest = max(self.largest, batch[0].numel())
        padded = F.pad(batch, (2, 2, 2, 2), mode="reflect")
        return F.avg_pool2d(padded, 5, 1)


class Negative:
    channels = 3

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        return -batch


class TileMean:
    """The opposite of local: answers each tile with its mean, so that seams would show."""

    channels = 1

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.mean(dim=(2, 3), keepdim=True).expand_as(batch)


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    generator = np.random.default_rng(5)
    return generator.integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("size", [(130, 97), (64, 200), (33, 65), (200, 48), (129, 128), (7, 300)])
def test_tiled_equals_untiled_for_a_local_network(size: tuple[int, int]) -> None:
    image = picture(*size)
    whole = restore_image(Blur(), image, 512, 16)
    tiled = restore_image(Blur(), image, 48, 16)
    assert np.abs(whole.astype(int) - tiled).max() <= 1  # float sums in another order


@pytest.mark.parametrize("overlap", [0, 1, 2, 5, 31])
def test_every_pixel_is_covered_whatever_the_overlap(overlap: int) -> None:
    image = picture(150, 131)
    assert np.array_equal(restore_image(Negative(), image, 64, overlap), 255 - image)


def test_tiles_bound_what_the_network_sees_at_once() -> None:
    network = Blur()
    restore_image(network, picture(300, 500), 64, 16)
    assert network.largest == 3 * 64 * 64


def test_seams_of_a_network_that_is_not_local_are_ramps_and_not_steps() -> None:
    slope = np.tile(np.linspace(0, 255, 256).astype(np.uint8), (64, 1))[:, :, None]
    blended = restore_image(TileMean(), slope, 64, 24)[0, :, 0].astype(int)
    cut = restore_image(TileMean(), slope, 64, 0)[0, :, 0].astype(int)
    assert np.abs(np.diff(blended)).max() <= 6
    assert np.abs(np.diff(cut)).max() >= 60


def test_a_grey_model_refuses_colour_and_takes_grey_that_is_stored_as_colour() -> None:
    with pytest.raises(ValueError, match="choose a model trained on colour"):
        restore_image(Blur(1), picture(40, 30), 64, 8)
    grey = picture(40, 30, 1)
    expected = restore_batch(Blur(1), grey[None])[0].repeat(3, axis=2)
    assert np.array_equal(restore_image(Blur(1), grey.repeat(3, axis=2), 64, 8), expected)


@pytest.mark.parametrize("tile", [32, 64])
def test_16_bits_stay_16_on_the_way_through_a_network(tile: int) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (50, 41, 3), dtype=np.uint16)
    restored = restore_image(Negative(), deep, tile, 8)
    assert restored.dtype == np.uint16
    assert np.abs(restored.astype(int) - (65535 - deep.astype(int))).max() <= 1


@pytest.mark.parametrize("tile", [32, 64])
def test_an_answer_that_is_not_finite_is_an_error_and_no_black_picture(tile: int) -> None:
    class Broken(Negative):
        def __call__(self, batch: torch.Tensor) -> torch.Tensor:
            return batch / 0.0

    with pytest.raises(ValueError, match="not finite"):
        restore_image(Broken(), picture(40, 30), tile, 8)


def test_every_tile_of_one_picture_is_told_as_it_is_done() -> None:
    told: list[tuple[int, int]] = []

    def watch(tiles):
        for tile in tiles:
            yield tile
            told.append(tile)

    restore_image(Negative(), picture(100, 80), 64, 16, watch)
    assert told == [(0, 0), (0, 32), (36, 0), (36, 32)]


def test_tiles_are_as_few_as_asked_for_and_no_larger_than_they_must_be() -> None:
    assert tile_shape(4000, 6000, 768, 64) == (720, 736)
    assert len(places(4000, 6000, 768, 64)) == 6 * 9
    assert all(top % 16 == 0 for top, _ in places(4000, 6000, 768, 64))
    assert tile_shape(100, 768, 768, 64) == (100, 768)


def test_a_colour_model_takes_grey_and_gives_grey() -> None:
    image = picture(40, 30, 1)
    assert np.array_equal(restore_image(Negative(), image, 64, 8), 255 - image)


@pytest.mark.parametrize("tile", [32, 64])
def test_a_self_ensemble_turns_with_its_picture(tile: int) -> None:
    class Slanted(Negative):
        def __call__(self, batch: torch.Tensor) -> torch.Tensor:
            return batch.roll((1, 2), (-2, -1))  # treats no two directions alike

    image, network = picture(40, 40), SelfEnsemble(Slanted())
    restored = restore_image(network, image, tile, 8)
    turned = restore_image(network, np.rot90(image[:, ::-1]), tile, 8)
    assert np.abs(np.rot90(restored[:, ::-1]).astype(int) - turned).max() <= 1
    plain = restore_image(Slanted(), image, tile, 8)
    assert np.abs(plain.astype(int) - restored).mean() > 10


def test_a_self_ensemble_of_a_symmetric_network_is_that_network() -> None:
    image = picture(40, 30)
    expected = restore_image(Blur(), image, 64, 8)
    found = restore_image(SelfEnsemble(Blur()), image, 64, 8)
    assert np.abs(expected.astype(int) - found).max() <= 1


def test_an_overlap_of_half_a_tile_or_more_is_refused() -> None:
    with pytest.raises(ValueError, match="below half a tile"):
        restore_image(Blur(), picture(40, 30), 32, 16)


def test_images_with_alpha_are_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="cannot take images of 4 channels"):
        restore_image(Blur(), picture(40, 30, 4), 64, 8)


def test_a_batch_holds_neighbours_of_one_shape_and_no_more_pixels_than_it_may() -> None:
    shapes = [(8, 8, 3)] * 5 + [(20, 20, 3)] * 2 + [(8, 8, 1), (8, 8, 3), (8, 8, 3)]
    batches = list(of_one_shape(shapes, 3, 130, lambda shape: shape))
    assert [len(batch) for batch in batches] == [2, 2, 1, 1, 1, 1, 2]
    assert [shape for batch in batches for shape in batch] == shapes
    by_count = list(of_one_shape(shapes, 3, 10_000, lambda shape: shape))
    assert [len(batch) for batch in by_count] == [3, 2, 2, 1, 2]
