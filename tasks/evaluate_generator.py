"""Stage evaluate_generator: how near minted images come to real ones, and their classes right.

  python -m tasks.evaluate_generator MODEL CLEAN REPORT [--beside MODEL ...]
writes metrics.json, figures.json, gallery/ and gallery.json into the folder REPORT. Models named by
--beside (the article's recipe, a VAE, ...) are measured on the same images; their figures stand in
figures.json beside those of MODEL.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from remint.core.atomic import replaced_folder
from remint.core.device import pick_device
from remint.core.stores import Place
from remint.generator.generator import Minter
from remint.generator_evaluation.classes import (
    accuracy_on_test,
    class_notes,
    class_rows,
    sample_classes,
)
from remint.generator_evaluation.features import (
    ClassifierExtractor,
    pretrained_spaces,
    set_classifier,
)
from remint.generator_evaluation.scoring import (
    EvaluateGeneratorConfig,
    Mint,
    Reals,
    read_reals,
    score_space,
)
from remint.images.imageset import ImageSet
from remint.metrics.published import fetch_published
from tasks.figures.generator import (
    Measured,
    Yardstick,
    class_means,
    flat_metrics,
    headline_row,
    images_a_second,
    network_calls,
    sheets,
    write_gallery,
)
from tasks.stage import params, stage
from tasks.stage.console import progress, say
from tasks.stage.standing import subject
from tasks.tracking import runs

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage; see --help."""
    parser = stage.parser(
        "evaluate_generator",
        __doc__,
        model="folder of the trained generator",
        clean="the real image set",
        report="folder for figures and pictures",
    )
    parser.add_argument("--beside", type=Path, nargs="+", default=[], metavar="MODEL")
    given = parser.parse_args(argv)
    config = params.load("evaluate_generator", EvaluateGeneratorConfig, given.params)
    run_stage(config, given.model, given.clean, given.report, given.beside)


def run_stage(
    config: EvaluateGeneratorConfig,
    model: Path,
    clean_path: Place,
    report: Path,
    beside: Sequence[Path] = (),
) -> None:
    """Measure the model in `model`, and those in `beside`; write the report."""
    mint = Minter.load(model, device=config.device)
    others = [Minter.load(folder, device=config.device) for folder in beside]
    clean = ImageSet(clean_path)
    data = {"clean": clean.fingerprint, "generator": mint.fingerprint}
    with runs.stage_run("evaluate_generator", config, data) as run:
        metrics, picture = evaluate(config, mint, clean, report, others)
        # not among the report's figures, which the same models give again
        run.metrics({**metrics, "images_a_second": images_a_second(mint)})
        run.image("samples", picture, 0)
        run.artifact(report / "figures.json")
    say(sentence(metrics))


def evaluate(
    config: EvaluateGeneratorConfig,
    mint: Mint,
    clean: ImageSet,
    report: Path,
    others: Sequence[Mint] = (),
) -> tuple[dict[str, float], np.ndarray]:
    """Write the report of a generator; return its metrics and the sheet of samples."""
    reals = read_reals(clean, mint, config, watch)
    yardstick = make_yardstick(config, clean, reals)
    measured = measure(config, mint, reals, yardstick)
    rivals = [{**_facts(m), **_rival(config, m, reals, yardstick)} for m in others]
    metrics = flat_metrics(measured, yardstick)
    metrics["network_calls"] = float(network_calls(mint.card.get("network", {})))
    data = {"clean": clean.fingerprint, "generator": mint.fingerprint}
    figures = {
        "subject": subject("evaluate_generator", data),
        "notes": [*_origin_notes(mint, clean), *measured.notes, *yardstick.notes],
        "model": _facts(mint),
        "headline_space": headline_row(measured.rows)["space"],
        "rows": measured.rows,
        "classes": measured.classes,
        "beside": rivals,
    }
    with replaced_folder(report) as folder:
        stage.write_json(folder / "metrics.json", metrics)
        stage.write_json(folder / "figures.json", figures)
        pictures = sheets(config, mint, reals, yardstick, measured)
        return metrics, write_gallery(folder, pictures)


def make_yardstick(config: EvaluateGeneratorConfig, clean: ImageSet, reals: Reals) -> Yardstick:
    """Load the networks at hand, and train the set's own classifier where it has classes."""
    device = pick_device(config.device)
    notes = fetch_published(config.published_weights, ("fid",), say)
    spaces, absent = pretrained_spaces(device)
    notes += absent
    if len(clean.class_names) < 2:
        note = "No class figures and no classifier's space: the set has fewer than two classes."
        return Yardstick(spaces, None, None, [*notes, note])
    say("training the set's own classifier, or taking it from the cache")
    classifier = set_classifier(
        clean, config.classifier, config.training_images, config.seed, reals.cache, str(device)
    )
    accuracy = accuracy_on_test(classifier, reals)
    return Yardstick([*spaces, ClassifierExtractor(classifier)], classifier, accuracy, notes)


def measure(
    config: EvaluateGeneratorConfig, mint: Mint, reals: Reals, yardstick: Yardstick
) -> Measured:
    """Return a generator's figures in every space and for every class."""
    rows, notes = [], []
    for space in yardstick.spaces:
        own = isinstance(space, ClassifierExtractor)
        asked = config.classifier_images if own else config.images
        scored = score_space(mint, reals, space, asked, config.seed)
        rows.append(scored.row)
        notes += scored.notes
    if yardstick.classifier is None:
        return Measured(rows, notes=notes)
    count = config.images_per_class
    samples = sample_classes(mint, yardstick.classifier, count, config.seed, watch)
    known = reals.reference.head(config.search_images)
    features = reals.features(ClassifierExtractor(yardstick.classifier), known)
    classes = class_rows(samples, mint.class_names, known, features)
    return Measured(rows, classes, samples, notes + class_notes(classes, yardstick.accuracy))


def watch(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Show how far an iterable is."""
    return progress(items, total, label)


def _rival(
    config: EvaluateGeneratorConfig, mint: Mint, reals: Reals, yardstick: Yardstick
) -> dict[str, Any]:
    read_reals(reals.clean, mint, config, watch)  # refuses a generator of another set
    measured = measure(config, mint, reals, yardstick)
    return {"rows": measured.rows, "classes": measured.classes, **class_means(measured.classes)}


def _facts(mint: Mint) -> dict[str, Any]:
    """Say which generator it is; name: of its networks, where the card gives it no other."""
    kept = ("name", "images_seen", "selected", "minutes", "parameters")
    facts = {key: mint.card[key] for key in kept if key in mint.card}
    name = mint.card.get("network", {}).get("name", "generator")
    calls = {"network_calls": network_calls(mint.card.get("network", {}))}
    return {"fingerprint": mint.fingerprint, "name": name, **facts, **calls}


def _origin_notes(mint: Mint, clean: ImageSet) -> list[str]:
    """Say where the figures' data differ from what the generator was trained on."""
    trained_on = mint.card.get("data", {}).get("clean")
    if trained_on == clean.fingerprint:
        return []
    return ["The generator was trained on another version of this set than it is compared with."]


def sentence(metrics: Mapping[str, float]) -> str:
    """Say the outcome in one line."""
    parts = [f"{metrics['images']:,.0f} images"]
    if "kid_efflite0" in metrics:
        floor = metrics.get("kid_efflite0_floor")
        beside = "" if floor is None else f" (real {1000 * floor:.1f})"
        parts.append(f"KID-EffLite0 x 1000 {1000 * metrics['kid_efflite0']:.1f}{beside}")
    if "coverage" in metrics:
        parts.append(f"precision {metrics['precision']:.2f}, coverage {metrics['coverage']:.2f}")
    if "class_accuracy" in metrics:
        parts.append(f"class accuracy {metrics['class_accuracy']:.1%}")
    return ", ".join(parts)


if __name__ == "__main__":
    stage.entry(main)
