"""The flow `compare`: several settings of the same pipeline as DVC experiments, in one table.

Each variant runs in a copy of its own (`dvc exp run --temp`), one after another: the checkout stays
as it is. `python -m flows.compare` compares the generators: the seed article's, a VAE, the small
convolutional one, R3GAN's, flow matching and a game after it, on the same images for as long as
params.yaml says.
"""

import argparse
import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from ruamel.yaml import YAML

from flows import away, exclusive, experiment, here, stages
from flows.pipeline import figure_rows
from tasks.tracking.flow_run import open_flow_run

Value = str | int | float | bool | list[float] | dict[str, Any] | None
Settings = dict[str, Value]  # dotted keys of params.yaml
NETWORK = "train_generator.network"
LOSS, OPTIMISER = "train_generator.loss", "train_generator.optimiser"
ADAM_OF_GAMES: Settings = {
    f"{OPTIMISER}.muon": None,
    f"{OPTIMISER}.warm_up": 0.0,
    f"{OPTIMISER}.betas": [0.0, 0.9],
    f"{OPTIMISER}.rate_end": 2.0e-4,
    "train_generator.loop.clip": None,
}
# A round of the game takes as long as some five of flow matching
JUMPS: dict[str, Any] = {
    "budget": {"images": 12_800, "minutes": None},
    "optimiser": {
        "rate": 2.0e-4,
        "rate_end": 2.0e-5,
        "betas": [0.0, 0.9],
        "beta2_end": 0.99,
        "weight_decay": 0.0,
        "muon": None,
        "warm_up": 0.02,
    },
    "steps": 4,
    "loss": {"transport": 0.0, "transport_end": 0.0, "fidelity": 0.3},
}
VARIANTS: dict[str, Settings] = {
    "article": {
        **ADAM_OF_GAMES,
        f"{NETWORK}.name": "article",
        f"{NETWORK}.width": 64,
        f"{NETWORK}.discriminator_width": 64,
        f"{LOSS}.game": "non_saturating",
        f"{LOSS}.gamma": 0.0,
        f"{OPTIMISER}.rate": 2.0e-4,
        f"{OPTIMISER}.betas": [0.5, 0.999],
        f"{OPTIMISER}.beta2_end": 0.999,
    },
    "vae": {
        **ADAM_OF_GAMES,
        f"{NETWORK}.name": "vae",
        f"{NETWORK}.width": 96,
        f"{LOSS}.augment": "none",  # it has no discriminator to show changed images to
    },
    "conv": {**ADAM_OF_GAMES, f"{NETWORK}.name": "conv", f"{NETWORK}.width": 96},
    # widths that a CPU can bear; on a GPU take those of the preset `gpu`
    "r3": {
        **ADAM_OF_GAMES,
        f"{NETWORK}.name": "r3",
        f"{NETWORK}.width": 32,
        f"{NETWORK}.discriminator_width": 32,
    },
    "flow": {f"{NETWORK}.name": "flow", f"{LOSS}.augment": "none"},
    "adversarial_flow": {
        f"{NETWORK}.name": "flow",
        f"{LOSS}.augment": "none",
        "train_generator.adversarial": JUMPS,
    },
}
SHARED: Settings = {"ingest.size": 32}  # a size that all of them have
GOAL = "report_augmentation"


class CompareError(RuntimeError):
    """Some variants did not end well; the message names them with their last lines."""


@task(task_run_name="{name}", cache_policy=NO_CACHE)
def run_variant(name: str, values: Settings, goal: str, context: dict[str, str]) -> None:
    """Run the pipeline up to `goal` with these values, as DVC experiment `name`."""
    pairs = [part for key, value in values.items() for part in ("-S", f"{key}={_text(value)}")]
    pairs += [part for path in starts(Path.cwd()) for part in ("--copy-paths", path)]
    command = [*stages.DVC, "exp", "run", "--temp", "--name", name, *pairs, goal]
    with exclusive.gpu(True):
        end = stages.follow(command, context, get_run_logger().info, Path.cwd())
    if end.code:
        raise CompareError(f"{name} ended with {end.code}:\n" + "\n".join(end.tail))


def starts(root: Path) -> list[str]:
    """Return the models to start from that neither git nor DVC would bring into a copy."""
    known = {Path(*Path(file).parts[:3]) for file in experiment.tracked(root, "data/start")}
    folders = sorted(path.relative_to(root) for path in root.glob("data/start/*/"))
    return [
        str(path) for path in folders if path not in known and not (root / f"{path}.dvc").exists()
    ]


def _text(value: Value) -> str:
    """Return a value as `dvc exp run -S` reads it: in dicts, names without quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_text(inner)}" for name, inner in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)


@flow(name="compare", validate_parameters=True)
def compare(
    variants: dict[str, Settings] = VARIANTS, shared: Settings = SHARED, goal: str = GOAL
) -> None:
    """Run every variant as an experiment, and put all figures into one table.

    variants: values of params.yaml by name; shared: values of all variants; goal: the stage up to
    which each runs. A variant that fails does not stop the others.
    """
    run, log, root = str(flow_run.get_name()), get_run_logger(), Path.cwd()
    failures, tables = [], {}
    for name, values in variants.items():
        title = f"{run}-{name}"
        tags = {"flow": "compare", "flow_run": run, "variant": name}
        chosen = {**shared, **values}
        try:
            with open_flow_run(title, tags, log.info, chosen) as opened:
                run_variant(title, chosen, goal, opened.context(tags))
                opened.figures = experiment.figures(root, title)
                tables[name] = figure_rows(opened.figures)
        except (CompareError, experiment.ExperimentError) as error:
            failures.append(str(error))
    with away.server_may_be_away(log):
        create_table_artifact(side_by_side(tables), key="comparison", description="All figures")
    if failures:
        raise CompareError("\n".join(failures))


def side_by_side(tables: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return a row a figure and a column a variant."""
    merged: dict[str, dict[str, Any]] = {}
    for name, rows in tables.items():
        for row in rows:
            figure = f"{row['group']}.{row['figure']}"
            merged.setdefault(figure, {"figure": figure})[name] = row["value"]
    return list(merged.values())


def _unknown(keys: Iterable[str], file: str) -> Iterator[str]:
    """Yield a sentence for each dotted key that a YAML file of the working folder does not have."""
    if not Path(file).is_file():
        yield f"there is no {file} here; run flows from the repository's root"
        return
    written = YAML(typ="safe").load(Path(file))
    for key in keys:
        value = written
        for part in key.split("."):
            known = value if isinstance(value, dict) else {}
            if part not in known:
                close = difflib.get_close_matches(part, known, n=1)
                yield f"{file} has no {key}" + (f", did you mean {close[0]}?" if close else "")
                break
            value = known[part]


def main(argv: Sequence[str] | None = None) -> None:
    """Compare here and now; see --help."""
    parser = argparse.ArgumentParser(prog="python -m flows.compare", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for all")
    parser.add_argument("--goal", default=GOAL, help="the stage up to which each runs")
    given = parser.parse_args(argv)
    if wrong := [pair for pair in given.set if "=" not in pair]:
        parser.error(f"--set: found {' '.join(wrong)}, needed KEY=VALUE")
    asked: Settings = dict(pair.split("=", 1) for pair in given.set)  # over a variant's own
    if wrong := [*_unknown(asked, "params.yaml"), *_unknown([f"stages.{given.goal}"], "dvc.yaml")]:
        parser.error("; ".join(wrong))
    variants = {name: {**VARIANTS[name], **asked} for name in given.only}
    with here.and_now(CompareError):
        compare(variants, SHARED, given.goal)


if __name__ == "__main__":
    main()
