"""Fitting every arm with every seed: the expensive part, and what it predicts on the test split."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from remint.classifier.averaged import Curve, learning_curve, train_averaged
from remint.core.device import one_thread
from remint.core.randomness import generator
from remint.core.workers import ordered_map
from remint.images.labelled import Labelled
from remint.utility.arms import ARMS, Arm, Lesson
from remint.utility.config import UtilityConfig
from remint.utility.training_sets import Case, training_set, weighted_targets


@dataclass(frozen=True)
class Job:
    """One classifier to be fitted: arm `name` of cases[case], with paired seed number `repeat`."""

    case: int
    name: str
    repeat: int


@dataclass(frozen=True)
class Fit:
    """What one classifier predicted: int64 [I] of the test images.

    rows: of its training set; images: different ones among them.
    """

    job: Job
    rows: int
    images: int
    predictions: np.ndarray


@dataclass(frozen=True)
class Experiment:
    """Everything that a fit needs; arms with the same repeat share the classifier's seed.

    curves: what the learning curve of each lesson says of the steps, once it was measured.
    """

    cases: tuple[Case, ...]
    test: np.ndarray
    classes: int
    utility: UtilityConfig
    seed: int
    device: str
    curves: Mapping[Lesson, Curve] = field(default_factory=dict)

    def jobs(self) -> list[Job]:
        """Return all fits to be made."""
        return [
            Job(number, name, repeat)
            for number, case in enumerate(self.cases)
            for repeat in range(self.utility.seeds)
            for name in arms(case)
        ]

    def steps(self, arm: Arm) -> int:
        """Return how long an arm trains.

        Soft labels hold more to learn than labels, and a curve of their own would stop early: the
        teacher has seen the images that were held out. They get the length of the longest lesson.
        """
        if arm.soft:
            return max(curve.steps for curve in self.curves.values())
        return self.curves[arm.lesson].steps


def arms(case: Case) -> list[str]:
    """Return the arms that can be judged fairly on a fraction."""
    return [name for name, arm in ARMS.items() if case.offers(arm)]


def measured(experiment: Experiment, workers: int) -> Experiment:
    """Return the experiment with its curves, each of real images and its own kind of lesson.

    All arms of a lesson train as long as real images need to be learned, on the fraction with the
    most of them: without augmentation, and with it.
    """
    lessons: list[Lesson] = ["plain", "classical"]
    curves = ordered_map(partial(_curve, experiment), lessons, _processes(experiment, workers), 1)
    return replace(experiment, curves=dict(zip(lessons, curves, strict=True)))


def _curve(experiment: Experiment, lesson: Lesson) -> Curve:
    real = max((case.real for case in experiment.cases), key=len)
    settings = experiment.utility.classifier
    with one_thread():
        return learning_curve(
            _writable(real.images),
            real.labels,
            experiment.classes,
            settings,
            settings,
            "classical" if lesson == "classical" else "none",
            experiment.seed,
            experiment.device,
        )


def fit_all(experiment: Experiment, workers: int) -> Iterator[Fit]:
    """Yield the fits in the order of the jobs; the number of processes never changes them."""
    processes = _processes(experiment, workers)
    return ordered_map(partial(fit, experiment), experiment.jobs(), processes, batch=1)


def _processes(experiment: Experiment, workers: int) -> int:
    return workers if experiment.device == "cpu" else 1


def fit(experiment: Experiment, job: Job) -> Fit:
    """Train the classifier of one job and let it name the test images."""
    case, arm = experiment.cases[job.case], ARMS[job.name]
    stream = generator(experiment.seed, "usefulness", case.fraction, job.repeat)
    data = training_set(arm, case, experiment.utility.synthetic_share, stream)
    with one_thread():
        classifier = train_averaged(
            _writable(data.images),
            _targets(arm, data, experiment.classes),
            experiment.classes,
            experiment.utility.classifier,
            arm.augment,
            experiment.steps(arm),
            experiment.seed + job.repeat,
            experiment.device,
        )
        chosen = classifier.probabilities(_writable(experiment.test)).argmax(axis=1)
    return Fit(job, len(data), len(set(data.ids)), chosen.astype(np.int64))


def _targets(arm: Arm, data: Labelled, classes: int) -> np.ndarray:
    if arm.balance == "weighted":
        return weighted_targets(data.labels, classes)
    return data.labels if data.soft is None else data.soft


def _writable(images: np.ndarray) -> np.ndarray:
    """Copy what a process map hands over read-only: torch warns of such arrays."""
    return np.require(images, requirements="W")


def predictions(fits: Sequence[Fit], case: int, name: str) -> np.ndarray:
    """Return int64 [S, I] of one arm, a row a seed in the order of the seeds."""
    chosen = [f for f in fits if (f.job.case, f.job.name) == (case, name)]
    return np.stack([f.predictions for f in sorted(chosen, key=lambda f: f.job.repeat)])
