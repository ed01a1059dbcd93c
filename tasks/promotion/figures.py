"""What promotion compares: figures of the new model as reported, of the champion measured alike."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from remint.core.atomic import replaced_file
from remint.core.fingerprint import model_fingerprint
from remint.generator.generator import Minter
from remint.images.imageset import ImageSet
from tasks import evaluate_generator, evaluate_restorer, evaluate_synthetic, export_synthetic
from tasks.promotion.registry import ModelName, Registry, Version
from tasks.promotion.rules import PromoteConfig, Ruling, copies, judge_generator, judge_restorer
from tasks.serving.base64_images import encode
from tasks.stage.console import say
from tasks.train_generator import served_example

CLEAN, CORRUPTED = Path("data/clean"), Path("data/corrupted")
REPORTS = Path("data/reports")
CACHE = Path("data/cache/promotion")  # figures of models on data, by the fingerprints of both


def data(name: ModelName) -> dict[str, str]:
    """Return the fingerprints of what the model is measured on."""
    sets = {"clean": CLEAN} | ({"corrupted": CORRUPTED} if name == "restorer" else {})
    return {key: ImageSet(path).fingerprint for key, path in sets.items()}


def example(name: ModelName, folder: Path) -> pd.DataFrame:
    """Return what the served model is asked for, as an example."""
    if name == "generator":
        return served_example(Minter.load(folder, device="cpu"))
    return pd.DataFrame({"image": [encode(ImageSet(CLEAN).at(0)[1])]})


def decide(
    registry: Registry, champion: Version | None, folder: Path, config: PromoteConfig
) -> Ruling:
    """Compare the model in `folder` with the champion on today's data; the first one just passes.

    The champion's figures are kept by the fingerprints of model and data: it is measured again
    when either has changed. Raises ValueError where figures are missing.
    """
    if registry.name == "restorer":
        new = _keep_restorer(folder, pd.read_parquet(REPORTS / "restorer/per_image.parquet"))
        if champion is None:
            return Ruling(True, ["there was no champion: the first model becomes it"])
        return judge_restorer(new, _restorer_again(registry, champion), config.restorer)
    figures = _keep_generator(folder, _reported_generator())
    copied = copies(figures)
    if champion is None:
        first = "there was no champion: the first model becomes it"
        return Ruling(copied is None, [copied or first])
    return judge_generator(figures, _generator_again(registry, champion), config.generator)


def _place(name: ModelName, folder: Path, suffix: str) -> Path:
    seen = "-".join(value[:12] for value in data(name).values())
    return CACHE / f"{name}-{model_fingerprint(folder)[:12]}-{seen}{suffix}"


def _keep_restorer(folder: Path, table: pd.DataFrame) -> pd.DataFrame:
    place = _place("restorer", folder, ".parquet")
    place.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(place) as fresh:
        table.to_parquet(fresh)
    return table


def _restorer_again(registry: Registry, champion: Version) -> pd.DataFrame:
    folder = registry.folder(champion.number)
    place = _place("restorer", folder, ".parquet")
    if not place.exists():
        say(f"promote: measuring the champion, version {champion.number}, on today's test pairs")
        with tempfile.TemporaryDirectory() as scratch:
            report = Path(scratch) / "report"
            out = [folder, CLEAN, CORRUPTED, report, Path(scratch) / "restored"]
            evaluate_restorer.main([str(path) for path in out])
            _keep_restorer(folder, pd.read_parquet(report / "per_image.parquet"))
    return pd.read_parquet(place)


def _reported_generator(reports: Path = REPORTS) -> dict[str, float]:
    figures: dict[str, float] = {}
    for part in ("generator", "synthetic"):
        figures |= json.loads((reports / part / "metrics.json").read_text(encoding="utf-8"))
    return figures


def _keep_generator(folder: Path, figures: dict[str, float]) -> dict[str, float]:
    place = _place("generator", folder, ".json")
    place.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(place) as fresh:
        fresh.write_text(json.dumps(figures), encoding="utf-8")
    return figures


def _generator_again(registry: Registry, champion: Version) -> dict[str, Any]:
    folder = registry.folder(champion.number)
    place = _place("generator", folder, ".json")
    if not place.exists():
        say(f"promote: measuring the champion, version {champion.number}, on today's images")
        scratch = Path(tempfile.mkdtemp())
        try:
            reports, minted = scratch / "reports", scratch / "minted"
            model, clean = str(folder), str(CLEAN)
            evaluate_generator.main([model, clean, str(reports / "generator")])
            export_synthetic.main([model, clean, str(minted), str(reports / "export")])
            evaluate_synthetic.main([clean, str(minted), str(reports / "synthetic")])
            _keep_generator(folder, _reported_generator(reports))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return dict(json.loads(place.read_text(encoding="utf-8")))
