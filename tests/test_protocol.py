"""Claims about the denoising protocol: figures must compare with published ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from remint.metrics.pixels import PSNR_CAP
from remint.restorer_evaluation.protocol import add_noise, denoise, gaussian_denoising, read


class Same:
    """Gives back what it gets, so that the output is the noisy image, clipped and rounded."""

    channels = 1

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        return batch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("camera", "coins", "moon"):
        Image.fromarray(getattr(data, name)()[:256, :256]).save(tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


@pytest.mark.parametrize(("sigma", "psnr"), [(15, 24.6497), (25, 20.2127), (50, 14.1921)])
def test_the_noisy_input_has_the_psnr_of_seed_0_at_256_px(
    folder: Path, sigma: float, psnr: float
) -> None:
    figures = list(gaussian_denoising(Same(), folder, sigma))
    assert [figure.name for figure in figures] == ["camera.png", "coins.png", "moon.png"]
    for figure in figures:
        assert figure.psnr_input == pytest.approx(psnr, abs=1e-4)
        assert figure.psnr_input == pytest.approx(20 * np.log10(255 / sigma), abs=0.05)


def test_every_image_gets_the_noise_of_seed_0_in_numpys_global_stream() -> None:
    image = np.full((6, 5, 1), 40, np.uint8)
    np.random.seed(0)
    expected = image / 255 + np.random.normal(0, 25 / 255, image.shape)
    assert np.array_equal(add_noise(image, 25), expected)
    assert np.array_equal(add_noise(image, 25), expected)


def test_the_noisy_input_is_neither_clipped_nor_rounded() -> None:
    noisy = add_noise(np.zeros((64, 64, 1), np.uint8), 25)
    assert noisy.min() < -0.2
    assert len(np.unique(noisy)) == noisy.size


def test_the_network_sees_the_unclipped_noise_in_minus_one_to_one() -> None:
    seen = []

    class Spy(Same):
        def __call__(self, batch: torch.Tensor) -> torch.Tensor:
            seen.append(batch)
            return batch

    noisy = add_noise(np.zeros((8, 8, 1), np.uint8), 25)
    denoise(Spy(), noisy)
    assert seen[0].shape == (1, 1, 8, 8)
    assert np.allclose(seen[0][0, 0].numpy(), noisy[:, :, 0] * 2 - 1, atol=1e-6)


def test_the_output_is_clipped_and_rounded_to_the_nearest_level() -> None:
    exact = np.arange(256, dtype=np.float64).reshape(16, 16, 1) / 255
    assert np.array_equal(denoise(Same(), exact)[:, :, 0].ravel(), np.arange(256))
    assert denoise(Same(), exact - 0.1).min() == 0
    assert denoise(Same(), exact + 0.1).max() == 255


def test_a_perfect_denoiser_reaches_the_cap_on_every_image(folder: Path) -> None:
    class Perfect(Same):
        images = iter([read(path, 1) for path in sorted(folder.glob("*.png"))])

        def __call__(self, batch: torch.Tensor) -> torch.Tensor:
            image = torch.from_numpy(next(self.images)[None, :, :, 0].copy()).float()
            return image[None] / 127.5 - 1

    assert [f.psnr for f in gaussian_denoising(Perfect(), folder, 25)] == [PSNR_CAP] * 3


def test_colour_becomes_grey_by_full_range_luma(tmp_path: Path) -> None:
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "colours.png")
    assert read(tmp_path / "colours.png", 1)[0, :, 0].tolist() == [76, 150, 29, 255]


def test_what_cannot_be_measured_is_said(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        list(gaussian_denoising(Same(), tmp_path / "empty", 25))
    with pytest.raises(ValueError, match="no folder"):
        list(gaussian_denoising(Same(), tmp_path / "absent", 25))
    with pytest.raises(ValueError, match="above 0"):
        list(gaussian_denoising(Same(), folder, 0))
    with pytest.raises(ValueError, match="is grey"):
        read(folder / "camera.png", 3)
    (folder / "broken.png").write_text("nothing")
    with pytest.raises(ValueError, match="not an image"):
        list(gaussian_denoising(Same(), folder, 25))
