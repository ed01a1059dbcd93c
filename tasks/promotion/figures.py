"""What promotion compares: figures of the new model as reported, of the champion measured alike."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from remint.core.atomic import replaced_folder
from remint.core.fingerprint import model_fingerprint
from remint.export.minting import ExportConfig
from remint.generator.generator import Minter
from remint.generator_evaluation.scoring import EvaluateGeneratorConfig
from remint.images.imageset import ImageSet
from remint.restorer_evaluation.evaluation import EvaluateRestorerConfig
from remint.utility.config import EvaluateSyntheticConfig
from tasks import (
    evaluate_generator,
    evaluate_restorer,
    evaluate_synthetic,
    export_synthetic,
    train_generator,
    train_restorer,
)
from tasks.promotion.registry import ModelName, Registry, Version
from tasks.promotion.rules import PromoteConfig, Ruling, copies, judge_generator, judge_restorer
from tasks.stage import params
from tasks.stage.console import say
from tasks.stage.standing import subject
from tasks.stage.subjects import check_subjects

# what the rules read of the reports of a model
FILES = {
    "restorer": ("restorer/per_image.parquet",),
    "generator": ("generator/metrics.json", "synthetic/metrics.json"),
}
# which of them says what model, data and code its figures speak of, and the stage that wrote it
SUBJECTS = {
    "restorer": {"restorer/slices.json": "evaluate_restorer"},
    "generator": {
        "generator/figures.json": "evaluate_generator",
        "export/figures.json": "export_synthetic",
        "synthetic/utility.json": "evaluate_synthetic",
    },
}


@dataclass(frozen=True)
class Paths:
    """What promotion reads: a model's folder, the sets, the reports of its evaluation, params.yaml.

    cache: keeps figures of models on data, by the fingerprints of both and of code.
    """

    model: Path
    clean: Path
    corrupted: Path
    reports: Path
    cache: Path
    params: Path


def data(name: ModelName, paths: Paths) -> dict[str, str]:
    """Return the fingerprints of what the model is measured on."""
    sets = {"clean": paths.clean} | ({"corrupted": paths.corrupted} if name == "restorer" else {})
    return {key: ImageSet(path).fingerprint for key, path in sets.items()}


def example(name: ModelName, paths: Paths) -> pd.DataFrame:
    """Return what the served model is asked for, as an example."""
    if name == "generator":
        return train_generator.served_example(Minter.load(paths.model, device="cpu"))
    return train_restorer.served_example(ImageSet(paths.clean))


def check_reports(name: ModelName, paths: Paths) -> None:
    """Raise ValueError where the reports speak of another model, other data or other code."""
    prints = {**data(name, paths), name: model_fingerprint(paths.model)}
    known = {what: (print_, "today's") for what, print_ in prints.items()}
    reports = {paths.reports / file: stage for file, stage in SUBJECTS[name].items()}
    check_subjects(reports, known, "promote", needed=[*prints, "code"])


def decide(
    registry: Registry, champion: Version | None, paths: Paths, config: PromoteConfig
) -> Ruling:
    """Compare the model with the champion on today's data; the first one just passes.

    The champion's figures are kept by the fingerprints of model, data and code: it is measured
    again when one of them has changed. Raises ValueError where figures are missing.
    """
    name = registry.name
    new = _keep(name, paths.reports, _kept(name, paths.model, paths))
    copied = copies(_of_generator(new)) if name == "generator" else None
    if champion is None:
        first = "there was no champion: the first model becomes it"
        return Ruling(copied is None, [copied or first])
    old = _of_champion(registry, champion, paths)
    if name == "generator":
        return judge_generator(_of_generator(new), _of_generator(old), config.generator)
    (file,) = FILES["restorer"]
    return judge_restorer(pd.read_parquet(new / file), pd.read_parquet(old / file), config.restorer)


def _of_generator(reports: Path) -> dict[str, float]:
    figures: dict[str, float] = {}
    for file in FILES["generator"]:
        figures |= json.loads((reports / file).read_text(encoding="utf-8"))
    return figures


def _kept(name: ModelName, model: Path, paths: Paths) -> Path:
    seen = "-".join(value[:12] for value in data(name, paths).values())
    if name == "restorer" and _restorer_config(paths).ensemble:
        seen += "-ensemble"
    codes = (subject(stage, {})["code"] for stage in SUBJECTS[name].values())
    seen += "".join(f"-{code[:12]}" for code in codes if code)
    return paths.cache / f"{name}-{model_fingerprint(model)[:12]}-{seen}"


def _keep(name: ModelName, reports: Path, kept: Path) -> Path:
    with replaced_folder(kept) as folder:
        for file in FILES[name]:
            (folder / file).parent.mkdir()
            shutil.copy(reports / file, folder / file)
    return kept


def _of_champion(registry: Registry, champion: Version, paths: Paths) -> Path:
    model = registry.folder(champion.number)
    kept = _kept(registry.name, model, paths)
    if not kept.is_dir():
        say(f"promote: measuring the champion, version {champion.number}, on today's images")
        with tempfile.TemporaryDirectory() as scratch:
            measure = _measure_restorer if registry.name == "restorer" else _measure_generator
            measure(model, paths, Path(scratch))
            _keep(registry.name, Path(scratch), kept)
    return kept


def _measure_restorer(model: Path, paths: Paths, out: Path) -> None:
    evaluate_restorer.run_stage(
        _restorer_config(paths),
        model,
        paths.clean,
        paths.corrupted,
        out / "restorer",
        out / "restored",
    )


def _restorer_config(paths: Paths) -> EvaluateRestorerConfig:
    return params.load("evaluate_restorer", EvaluateRestorerConfig, paths.params)


def _measure_generator(model: Path, paths: Paths, out: Path) -> None:
    generator = params.load("evaluate_generator", EvaluateGeneratorConfig, paths.params)
    evaluate_generator.run_stage(generator, model, paths.clean, out / "generator")
    export = params.load("export_synthetic", ExportConfig, paths.params)
    avoid = export_synthetic.ingested(paths.params)
    export_synthetic.run_stage(export, model, paths.clean, out / "minted", out / "export", avoid)
    synthetic = params.load("evaluate_synthetic", EvaluateSyntheticConfig, paths.params)
    origin = evaluate_synthetic.open_sets(paths.clean, out / "minted")
    evaluate_synthetic.run_stage(synthetic, origin, [], out / "synthetic")
