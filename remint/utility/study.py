"""The experiment put together: which images each arm gets, and what may be judged at all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from remint.images.imageset import ImageSet
from remint.images.labelled import Labelled, first_of_each_class, joined, read
from remint.metrics.nearest import nearest_rows
from remint.metrics.spaces import same_levels, thumbnails
from remint.utility.arms import ARMS
from remint.utility.config import EvaluateSyntheticConfig, Fraction
from remint.utility.fits import Experiment
from remint.utility.origins import Origin
from remint.utility.training_sets import Case
from remint.utility.verdicts import points

LESSONS = {
    "plain": "Without augmentation",
    "classical": "With classical augmentation",
}
FELLOWS = 50  # nearest images of the same split among which a near-duplicate is looked for


@dataclass(frozen=True)
class Study:
    """experiment; labels: int64 [I] of its test images; notes: what a reader should know."""

    experiment: Experiment
    labels: np.ndarray
    notes: list[str]


def prepare(
    main: Origin, also: Sequence[Origin], config: EvaluateSyntheticConfig, device: str
) -> Study:
    """Cut the fractions, pair each with a synthetic set that is fair for it, clean the test split.

    also: smaller clean sets, each with what a generator that saw nothing else minted; they are
    judged on the test split of `main`. Raises ValueError where a fraction asks for more than there
    is, or one of those sets trains on test images.
    """
    real, whole = read(main.clean, "train"), read(main.clean, "test")
    test = whole.take(np.flatnonzero(whole.labels >= 0))
    cases = [_case(fraction, real, main) for fraction in config.utility.fractions]
    cases += [_smaller(origin, main.clean) for origin in also]
    held = [read(main.clean, "val")] if (main.clean.frame()["split"] == "val").any() else []
    known = joined([real, *held, *(case.real for case in cases[len(config.utility.fractions) :])])
    _check_unseen(test, known)
    kept = test.take(far_from(test, known, config.utility.duplicate_rms))
    classes, utility = len(main.clean.class_names), config.utility
    experiment = Experiment(tuple(cases), kept.images, classes, utility, config.seed, device)
    notes = [*_design_notes(config, len(test), len(kept)), *map(_case_note, cases)]
    if unlabelled := len(whole) - len(test):
        notes.append(f"{unlabelled:,} test images without a label were left out.")
    return Study(experiment, kept.labels, notes + _origin_notes([main, *also]))


def far_from(test: Labelled, known: Labelled, rms: float) -> np.ndarray:
    """Return int [K]: indices of test images that are no near-duplicates of known or earlier ones.

    A near-duplicate lies within `rms` grey levels at 16 x 16 px (root mean square), and a tenth of
    the test image's own contrast.
    """
    small, limits = thumbnails(test.images), same_levels(test.images, rms)
    seen = nearest_rows(small, thumbnails(known.images), 1).nearest <= limits
    fellows = nearest_rows(small, small, FELLOWS)
    earlier = fellows.indices < np.arange(len(test))[:, None]
    return np.flatnonzero(~seen & ~(earlier & (fellows.distances <= limits[:, None])).any(axis=1))


def _check_unseen(test: Labelled, known: Labelled) -> None:
    shared = set(test.ids) & set(known.ids)
    if shared:
        raise ValueError(
            f"{len(shared)} test images, such as {min(shared)}, stand in a train or val split too; "
            "ingest all sets with the same shares and seed."
        )


def _case(fraction: Fraction, real: Labelled, main: Origin) -> Case:
    if fraction == "all":
        return main.case("all", real)
    return Case(f"{fraction} a class", first_of_each_class(real, fraction), None)


def _smaller(origin: Origin, main: ImageSet) -> Case:
    if origin.clean.class_names != main.class_names:
        raise ValueError(
            f"{origin.clean.path} has the classes {origin.clean.class_names}, {main.path} has "
            f"{main.class_names}; a fraction has the same."
        )
    real = read(origin.clean, "train")
    return origin.case(f"{origin.clean.path.name}: {len(real)} images", real)


def _design_notes(config: EvaluateSyntheticConfig, test: int, kept: int) -> list[str]:
    utility, classifier = config.utility, config.utility.classifier
    return [
        f"Every arm trains the same classifier on batches of {classifier.batch}, with "
        f"{utility.seeds} paired seeds; in mixed arms "
        f"{utility.synthetic_share:.0%} of the images it sees are added ones.",
        f"Accuracy is of {kept} real test images that no stage trained on; {test - kept} near-"
        f"duplicates of other images (within {utility.duplicate_rms:g} grey levels, and a tenth of "
        "their own contrast) were left out.",
        f"Intervals ({utility.confidence:.0%}) cover new seeds and new test images at once; they "
        "do not cover training the generator again.",
        f"Fixed beforehand: the primary comparison is {utility.primary}, a change below "
        f"{points(utility.smallest_gain)} does not count. Holm's correction is over the judged "
        "fractions; intervals are not corrected.",
    ]


def _case_note(case: Case) -> str:
    real, images = f"{len(case.real):,} real training images", case.minted
    if images is None:
        return (
            f"Fraction {case.fraction}: {real}; arms with synthetic images are left out, since the "
            "generator saw more than these."
        )
    lacking = [name for name in ("synthetic_raw", "synthetic_soft") if not case.offers(ARMS[name])]
    titles = " and of ".join(f"'{ARMS[name].title}'" for name in lacking)
    why = "what its export kept back, or its soft labels, were not given"
    absent = f" There is no arm of {titles}: {why}." if lacking else ""
    return f"Fraction {case.fraction}: {real}, {len(images):,} synthetic ones.{absent}"


def length_notes(experiment: Experiment) -> list[str]:
    """Say how many steps the arms train, and why so many."""
    notes = [
        f"{LESSONS[lesson]} the classifier trains {curve.steps:,} steps: there the learning curve "
        f"of held-out real training images was within {experiment.utility.classifier.tolerance:g} "
        f"nats of its lowest{'' if curve.flat else ', and still falling where it was cut off'}."
        for lesson, curve in experiment.curves.items()
    ]
    return [*notes, "Soft labels are learned for as many steps as the longer of the two."]


def _origin_notes(origins: Sequence[Origin]) -> list[str]:
    return [
        f"{origin.synthetic.path.name}: what its generator was trained on is not recorded, and is "
        "taken on trust."
        for origin in origins
        if origin.trained_on() is None
    ]
