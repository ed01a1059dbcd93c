"""Fitting every arm with every seed: the expensive part, and what it predicts on the test split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from remint.classifier.train import ClassifierConfig, train_classifier
from remint.core.randomness import generator
from remint.core.workers import ordered_map
from remint.images.labelled import Labelled
from remint.utility.arms import ARMS, Arm, training_set
from remint.utility.config import UtilityClassifierConfig, UtilityConfig


@dataclass(frozen=True)
class Case:
    """A fraction of the real training images; minted: None where no fair synthetic set exists."""

    fraction: str
    real: Labelled
    minted: Labelled | None

    def arms(self) -> dict[str, Arm]:
        """Return the arms that can be judged fairly on this fraction."""
        fair = self.minted is not None
        return {name: arm for name, arm in ARMS.items() if fair or not arm.minted}


@dataclass(frozen=True)
class Job:
    """One classifier to be fitted: arm `name` of cases[case], with paired seed number `repeat`."""

    case: int
    name: str
    repeat: int


@dataclass(frozen=True)
class Fit:
    """What one classifier predicted: int64 [I] of the test images; rows: of its training set."""

    job: Job
    rows: int
    predictions: np.ndarray


@dataclass(frozen=True)
class Experiment:
    """Everything that a fit needs; arms with the same repeat share the classifier's seed."""

    cases: tuple[Case, ...]
    test: np.ndarray
    classes: int
    utility: UtilityConfig
    seed: int
    device: str

    def jobs(self) -> list[Job]:
        """Return all fits to be made."""
        repeats = range(self.utility.seeds)
        return [
            Job(number, name, repeat)
            for number, case in enumerate(self.cases)
            for repeat in repeats
            for name in case.arms()
        ]


def fit_all(experiment: Experiment, workers: int) -> Iterator[Fit]:
    """Yield the fits in the order of the jobs; the number of processes never changes them."""
    processes = workers if experiment.device == "cpu" else 1
    return ordered_map(partial(fit, experiment), experiment.jobs(), processes, batch=1)


def fit(experiment: Experiment, job: Job) -> Fit:
    """Train the classifier of one job and let it name the test images."""
    case, arm = experiment.cases[job.case], ARMS[job.name]
    stream = generator(experiment.seed, "usefulness", case.fraction, job.repeat)
    share = experiment.utility.synthetic_share
    data = training_set(arm, case.real, case.minted, share, stream)
    config = classifier_config(experiment.utility.classifier, arm)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order would make results depend on `workers`
    try:
        classifier = train_classifier(
            _writable(data.images),
            data.labels,
            experiment.classes,
            config,
            experiment.seed + job.repeat,
            experiment.device,
        )
        chosen = classifier.probabilities(_writable(experiment.test)).argmax(axis=1)
    finally:
        torch.set_num_threads(threads)
    return Fit(job, len(data), chosen.astype(np.int64))


def _writable(images: np.ndarray) -> np.ndarray:
    """Copy what a process map hands over read-only: torch warns of such arrays."""
    return np.require(images, requirements="W")


def classifier_config(classifier: UtilityClassifierConfig, arm: Arm) -> ClassifierConfig:
    """Return the classifier's settings in an arm; only the augmentation differs between arms."""
    return ClassifierConfig(
        steps=classifier.steps,
        batch=classifier.batch,
        rate=classifier.rate,
        width=classifier.width,
        augment=arm.augment,
    )


def predictions(fits: Sequence[Fit], case: int, name: str) -> np.ndarray:
    """Return int64 [S, I] of one arm, a row a seed in the order of the seeds."""
    chosen = [f for f in fits if (f.job.case, f.job.name) == (case, name)]
    return np.stack([f.predictions for f in sorted(chosen, key=lambda f: f.job.repeat)])
