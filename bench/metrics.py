"""Figures of sets beside torch-fidelity and prdc: equal values, and how much faster.

    python -m bench.metrics [--images 5000] [--dimensions 2048] [--rounds 2]

First figures on the same features (rectified Gaussian mixtures of that width, float32), then the
extraction of features by the same network, EfficientNet-Lite0, from the same uint8 pictures. One
process, and for all as many threads as OMP_NUM_THREADS says; rounds alternate, the fastest counts.
prdc is optional (extra `bench`). "relative difference" is 0 for values equal to the last digit.
"""

import argparse
import contextlib
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import skimage.data
import torch
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torch_fidelity.utils import extract_featuresdict_from_input_id

from remint.core.arrays import scale
from remint.metrics.features import EffLiteExtractor
from remint.metrics.frechet import frechet_distance_of_features
from remint.metrics.kernel import kernel_distance, kernel_distance_of_subsets
from remint.metrics.neighbours import neighbour_scores
from remint.networks import efflite

SEED = 2020  # torch-fidelity's
PICTURES, SIDES = 64, (28, 224)
FEATURE = "1280"
Values = tuple[float, ...]
Work = Callable[[], Values]


def features(count: int, dimensions: int, seed: int, shift: float) -> np.ndarray:
    """Return float32 [count, dimensions], non-negative and correlated as pooled features are."""
    mixing = np.random.default_rng(99).normal(size=(64, dimensions)) / 8.0
    generator = np.random.default_rng(seed)
    hidden = generator.normal(size=(count, 64)) @ mixing
    own = generator.normal(scale=0.5, size=(count, dimensions))
    return np.maximum(hidden + own + shift, 0.0).astype(np.float32)


def works(real: np.ndarray, fake: np.ndarray) -> dict[str, dict[str, Work]]:
    """Return, for each figure, who computes it; every one gets the features in memory."""
    tensors = torch.from_numpy(fake), torch.from_numpy(real)
    subset = min(1000, len(real))

    def fidelity_fd() -> Values:
        both = [fid_features_to_statistics(x) for x in tensors]
        return (fid_statistics_to_metric(*both, verbose=False)["frechet_inception_distance"],)

    def fidelity_kid() -> Values:
        found = kid_features_to_metric(*tensors, kid_subset_size=subset, verbose=False)
        return (found["kernel_inception_distance_mean"],)

    def subsets() -> Values:
        drawn = np.random.RandomState(SEED)  # the same subsets as torch-fidelity's
        return (kernel_distance_of_subsets(fake, real, 100, subset, drawn).mean,)  # type: ignore[arg-type]

    def fidelity_neighbours() -> Values:
        found = prc_features_to_metric(*tensors, prc_neighborhood=3, verbose=False)
        return found["precision"], found["recall"]

    def neighbours() -> Values:
        found = neighbour_scores(real, fake)
        return found.precision, found.recall

    def four() -> Values:
        return tuple(vars(neighbour_scores(real, fake, precision_k=5)).values())

    table: dict[str, dict[str, Work]] = {
        "FD": {
            "remint": lambda: (frechet_distance_of_features(real, fake),),
            "torch-fidelity": fidelity_fd,
        },
        "KID, the same 100 subsets": {"remint": subsets, "torch-fidelity": fidelity_kid},
        "KID, all pairs and its error": {
            "remint": lambda: (kernel_distance(real, fake).mean,),
            "torch-fidelity": fidelity_kid,
        },
        "precision, recall (k 3)": {
            "remint": neighbours,
            "torch-fidelity": fidelity_neighbours,
        },
    }
    if find_spec("prdc"):
        table["precision .. coverage (k 5)"] = {"remint": four, "prdc": prdc_work(real, fake)}
    return table


def prdc_work(real: np.ndarray, fake: np.ndarray) -> Work:
    """Return prdc's four figures; what it prints is swallowed."""
    from prdc import compute_prdc

    def work() -> Values:
        with contextlib.redirect_stdout(io.StringIO()):
            found = compute_prdc(real, fake, nearest_k=5)
        return tuple(float(found[n]) for n in ("precision", "recall", "density", "coverage"))

    return work


def fastest(
    competitors: Mapping[str, Callable[[], object]], rounds: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return everyone's best seconds over alternating rounds, and what they found."""
    seconds = dict.fromkeys(competitors, float("inf"))
    found: dict[str, Any] = {}
    for _ in range(rounds):
        for name, work in competitors.items():
            start = time.perf_counter()
            found[name] = work()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds, found


def figure_lines(count: int, dimensions: int, rounds: int) -> Iterator[str]:
    """Yield the table of figures."""
    real = features(count, dimensions, 1, 0.0)
    fake = features(count, dimensions, 2, 0.05)
    yield f"{count} x {dimensions} float32 features a side, {torch.get_num_threads()} threads, s"
    titles = f"{'remint':>10}{'other':>10}{'ratio':>8}  {'relative difference':20}other is"
    yield f"{'figure':30}{titles}"
    for name, competitors in works(real, fake).items():
        seconds, found = fastest(competitors, rounds)
        (_, mine), (other, theirs) = seconds.items()
        ours, others = (np.array(value) for value in found.values())
        gap = np.abs(ours - others) / np.maximum(np.abs(others), 1e-12)
        cells = f"{mine:10.2f}{theirs:10.2f}{theirs / mine:8.1f}"
        yield f"{name:30}{cells}  {gap.max():<20.1e}{other}"


class FidelityEffLite(FeatureExtractorBase):
    """The same network inside torch-fidelity's pipeline, as its authors would plug it in."""

    def __init__(self) -> None:
        super().__init__("efflite0", [FEATURE])
        self.network = efflite.EfficientNetLite0()
        weights = torch.load(efflite.weights_file(), map_location="cpu", weights_only=True)
        self.network.load_state_dict(weights)
        self.eval().requires_grad_(False)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """Return the names of what it extracts."""
        return (FEATURE,)

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor]:
        """uint8 NCHW, N below 65 -> float32 [N, 1280]."""
        return (self.network(efflite.preprocess(scale(batch))),)


class Pictures(torch.utils.data.Dataset):
    """uint8 CHW pictures in memory."""

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        self.images = [torch.from_numpy(image.transpose(2, 0, 1).copy()) for image in images]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index]


def crops(side: int) -> list[np.ndarray]:
    """Return crops of a photograph, uint8 side x side x 3."""
    photo = skimage.data.astronaut()
    places = np.random.default_rng(0).integers(0, 512 - side, (PICTURES, 2))
    return [photo[top : top + side, left : left + side] for top, left in places]


def extraction_lines(rounds: int) -> Iterator[str]:
    """Yield the table of feature extraction."""
    ours, theirs = EffLiteExtractor(torch.device("cpu")), FidelityEffLite()
    yield "\nEfficientNet-Lite0 features, images/s"
    yield f"{'side':>6}{'remint':>10}{'torch-fidelity':>16}{'ratio':>8}  largest difference"
    for side in SIDES:
        images = crops(side)
        settings = {"input1": Pictures(images), "cuda": False, "verbose": False}
        settings |= {"batch_size": 64, "save_cpu_ram": True}  # no worker processes for 64 pictures
        competitors: dict[str, Callable[[], object]] = {
            "remint": lambda images=images: ours(images),  # type: ignore[misc]
            "fidelity": lambda settings=settings: extract_featuresdict_from_input_id(  # type: ignore[misc]
                1, theirs, **settings
            )[FEATURE].numpy(),
        }
        seconds, found = fastest(competitors, rounds)
        mine, other = (PICTURES / second for second in seconds.values())
        gap = float(np.abs(np.subtract(*found.values())).max())
        yield f"{side:6}{mine:10.1f}{other:16.1f}{mine / other:8.1f}  {gap:.1e}"


def main(argv: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.metrics")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args(argv)
    for line in figure_lines(arguments.images, arguments.dimensions, arguments.rounds):
        print(line, flush=True)
    for line in extraction_lines(arguments.rounds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
