"""The sections of params.yaml, each with the configuration that holds it."""

from remint.corruptions.config import CorruptConfig
from remint.export.minting import ExportConfig
from remint.generator.train import TrainGeneratorConfig
from remint.generator_evaluation.scoring import EvaluateGeneratorConfig
from remint.ingest.config import IngestConfig
from remint.restorer.train import TrainRestorerConfig
from remint.restorer_evaluation.evaluation import EvaluateRestorerConfig
from remint.utility.config import EvaluateSyntheticConfig
from tasks.page.parts import ReportConfig
from tasks.promotion.rules import PromoteConfig

SECTIONS = {
    "ingest": IngestConfig,
    "corrupt": CorruptConfig,
    "train_restorer": TrainRestorerConfig,
    "evaluate_restorer": EvaluateRestorerConfig,
    "train_generator": TrainGeneratorConfig,
    "evaluate_generator": EvaluateGeneratorConfig,
    "export_synthetic": ExportConfig,
    "evaluate_synthetic": EvaluateSyntheticConfig,
    "report": ReportConfig,
    "promote": PromoteConfig,
}
