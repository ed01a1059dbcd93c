"""Images/s of every kind of damage, beside albumentations, kornia and imagecorruptions.

    python -m bench.corruptions

One process, one thread each, the same images, severity 3, in one run: 224 px colour and 28 px grey
photographs of scikit-image. Ours is `corrupt`, with its recipe and mask; albumentations gets uint8
HWC images one by one as we do, kornia float32 NCHW tensors in batches of 16. Each has one random
stream; what a stream for every image costs is a line of its own. Rounds alternate, the fastest
counts. albumentations and kornia are the optional extra `bench`. imagecorruptions, uint8 HWC one by
one, comes along where it imports: its release 1.1.2 needs pkg_resources, which setuptools has
dropped, so install setuptools<81 beside it. Two of its kinds still fail: gaussian_blur gives an
argument that scikit-image no longer takes, fog asks for numpy.float_. It takes no side under 32 px.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it asks the network for its newest version

import argparse  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator, Mapping, Sequence  # noqa: E402

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import skimage.data  # noqa: E402
import torch  # noqa: E402

from remint.core.randomness import generator  # noqa: E402
from remint.corruptions.registry import KINDS, corrupt  # noqa: E402

SEVERITY = 3
IMAGES = 32
BATCH = 16
ROUNDS = 5
THEIR_NAMES = {
    "gaussian_noise": "gaussian_noise",
    "poisson": "shot_noise",
    "salt_and_pepper": "impulse_noise",
    "speckle": "speckle_noise",
    "defocus": "defocus_blur",
    "motion_blur": "motion_blur",
    "pixelate": "pixelate",
    "jpeg": "jpeg_compression",
    "contrast": "contrast",
}
Work = Callable[[], object]  # damages all images once


def images(side: int, channels: int) -> list[np.ndarray]:
    """Return 32 crops of photographs, uint8 side x side x channels."""
    photo = skimage.data.astronaut()
    tops = np.linspace(0, 512 - 256, IMAGES).astype(int)
    crops = [cv2.resize(photo[t : t + 256, 256 - t : 512 - t], (side, side)) for t in tops]
    grey = [cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[:, :, None] for crop in crops]
    return crops if channels == 3 else grey


def ours(kind: str, pictures: Sequence[np.ndarray]) -> Work:
    """Return the work of this project for a kind."""
    stream = generator(0, "bench", kind)
    return lambda: [corrupt(image, kind, SEVERITY, stream) for image in pictures]


def albumentations_works(pictures: Sequence[np.ndarray]) -> dict[str, Work]:
    """Return albumentations' transforms nearest to our kinds at severity 3."""
    import albumentations as A

    unit = pictures[0].shape[0] / 224
    sigma, length = max(3 * unit, 0.7), max(3, round(15 * unit) | 1)
    radius = max(1, round(6 * unit))
    area = {"downscale": cv2.INTER_AREA}
    transforms = {
        "gaussian_noise": A.GaussNoise(std_range=(0.18, 0.18), p=1),
        "poisson": A.ShotNoise(scale_range=(1 / 12, 1 / 12), p=1),
        "salt_and_pepper": A.SaltAndPepper(amount=(0.09, 0.09), salt_vs_pepper=(0.5, 0.5), p=1),
        "speckle": A.MultiplicativeNoise((0.65, 1.35), per_channel=True, elementwise=True, p=1),
        "gaussian_blur": A.GaussianBlur(blur_limit=0, sigma_limit=(sigma, sigma), p=1),
        "defocus": A.Defocus(radius=(radius, radius), alias_blur=(0.1, 0.1), p=1),
        "motion_blur": A.MotionBlur(blur_limit=(length, length), p=1),
        "pixelate": A.Downscale((0.4, 0.4), {**area, "upscale": cv2.INTER_NEAREST}, p=1),
        "downscale": A.Downscale((0.4, 0.4), {**area, "upscale": cv2.INTER_CUBIC}, p=1),
        "jpeg": A.ImageCompression("jpeg", (15, 15), p=1),
        "webp": A.ImageCompression("webp", (8, 8), p=1),
        "contrast": A.RandomBrightnessContrast((0, 0), (-0.8, -0.8), p=1),
        "box_holes": A.CoarseDropout((1, 4), (0.14, 0.28), (0.14, 0.28), fill=128, p=1),
    }
    return {kind: _one_by_one(transform, pictures) for kind, transform in transforms.items()}


def _one_by_one(transform: Callable[..., object], pictures: Sequence[np.ndarray]) -> Work:
    return lambda: [transform(image=image) for image in pictures]


def kornia_works(pictures: Sequence[np.ndarray]) -> dict[str, Work]:
    """Return kornia's augmentations nearest to our kinds at severity 3."""
    import kornia.augmentation as K

    unit = pictures[0].shape[0] / 224
    sigma, length = max(3 * unit, 0.7), max(3, round(15 * unit) | 1)
    side = 2 * round(3 * sigma) + 1
    augmentations = {
        "gaussian_noise": K.RandomGaussianNoise(0.0, 0.18, p=1.0),
        "salt_and_pepper": K.RandomSaltAndPepperNoise(0.09, 0.5, p=1.0),
        "gaussian_blur": K.RandomGaussianBlur((side, side), (sigma, sigma), p=1.0),
        "motion_blur": K.RandomMotionBlur(length, 180.0, 0.0, p=1.0),
        "jpeg": K.RandomJPEG((15.0, 15.0), p=1.0),
        "contrast": K.RandomContrast((0.2, 0.2), p=1.0),
        "box_holes": K.RandomErasing((0.02, 0.08), (0.5, 2.0), value=0.5, p=1.0),
    }
    stack = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    batches = stack.contiguous().split(BATCH)
    colour_only = {"jpeg"} if stack.shape[1] == 1 else set()
    return {k: _batched(a, batches) for k, a in augmentations.items() if k not in colour_only}


def imagecorruptions_works(pictures: Sequence[np.ndarray]) -> dict[str, Work]:
    """Return the kinds that imagecorruptions' release runs today; none where it cannot be used."""
    try:
        import imagecorruptions
    except ImportError as error:
        print(f"imagecorruptions is left out: {error}")
        return {}
    if min(pictures[0].shape[:2]) < 32:
        return {}

    def work(name: str) -> Work:
        return lambda: [imagecorruptions.corrupt(i, SEVERITY, name) for i in pictures]

    return {kind: work(name) for kind, name in THEIR_NAMES.items()}


def _batched(augment: torch.nn.Module, batches: Sequence[torch.Tensor]) -> Work:
    def work() -> object:
        with torch.inference_mode():
            return [augment(batch) for batch in batches]

    return work


def fastest(works: Mapping[str, Work], rounds: int) -> dict[str, float]:
    """Return the best images/s of each work over alternating rounds."""
    seconds = dict.fromkeys(works, float("inf"))
    for _ in range(rounds + 1):  # the first also warms caches
        for name, work in works.items():
            start = time.perf_counter()
            work()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return {name: IMAGES / second for name, second in seconds.items()}


def table(side: int, channels: int, rounds: int) -> Iterator[str]:
    """Yield the lines of one size, and at the end how often we are twice the best of the others."""
    pictures = images(side, channels)
    others = {
        "albumentations": albumentations_works(pictures),
        "kornia": kornia_works(pictures),
        "imagecorruptions": imagecorruptions_works(pictures),
    }
    yield f"\n{side} px, {channels} channel(s), images/s"
    yield f"{'kind':16}" + "".join(f"{name:>17}" for name in ("remint", *others, "ratio"))
    ratios = []
    for kind in KINDS:
        works = {"remint": ours(kind, pictures)}
        works |= {name: known[kind] for name, known in others.items() if kind in known}
        speeds = fastest(works, rounds)
        mine = speeds.pop("remint")
        ratio = mine / max(speeds.values()) if speeds else None
        ratios += [ratio] if ratio else []
        figures = [mine, *(speeds.get(name) for name in others)]
        cells = [f"{figure:.0f}" if figure else "-" for figure in figures]
        cells.append(f"{ratio:.1f}" if ratio else "-")
        yield f"{kind:16}" + "".join(f"{cell:>17}" for cell in cells)
    yield f"at least twice the best of the others: {sum(r >= 2 for r in ratios)} of {len(ratios)}"


def main(argv: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.corruptions")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timed rounds, the best counts")
    rounds = parser.parse_args(argv).rounds
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    streams = {"": lambda: [generator(0, "bench", str(i)) for i in range(IMAGES)]}
    print(f"a random stream for every image: {1e6 / fastest(streams, rounds)['']:.1f} us each")
    for side, channels in ((224, 3), (28, 1)):
        for line in table(side, channels, rounds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
