"""Every number of a configuration has a range, and what is outside is refused with one sentence."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import pytest
from annotated_types import Ge, Gt, Le, Lt
from ruamel.yaml import YAML

from remint.core.ranges import check
from tasks.stage import params
from tests.sections import SECTIONS

HUGE = 10**18
WRONG = [
    ("ingest.size", 0, "1 or more"),
    ("ingest.background", 256, "255 or less"),
    ("ingest.max_bad_share", 1.1, "1 or less"),
    ("ingest.shares.val", -0.1, "0 or more"),
    ("ingest.workers", 10**9, "1024 or less"),
    ("corrupt.training.draws", -1, "0 or more"),
    ("corrupt.training.draws", HUGE, "1000 or less"),
    ("corrupt.training.steps[0].probability", 1.5, "1 or less"),
    ("corrupt.training.steps[0].severity[0]", 0, "1 or more"),
    ("corrupt.evaluate.severities[0]", 6, "5 or less"),
    ("corrupt.evaluate.test_per_slice", 0, "1 or more"),
    ("train_restorer.threads", -1, "1 or more"),
    ("train_restorer.network.width", HUGE, "4096 or less"),
    ("train_restorer.network.depth", 10**8, "100 or less"),
    ("train_restorer.data.batch", HUGE, "65536 or less"),
    ("train_restorer.fidelity.budget.images", 0, "1 or more"),
    ("train_restorer.loop.clip", 0, "above 0"),
    ("train_restorer.loop.ema_half_life", 0, "above 0"),
    ("train_restorer.loop.health.loss_limit", 1, "above 1"),
    ("train_restorer.loop.health.accuracy_limit", 1, "below 1"),
    ("train_generator.network.width", 7, "8 or more"),
    ("train_generator.loss.augment_probability", 0.9, "0.85 or less"),
    ("train_generator.loss.penalty_every", 0, "1 or more"),
    ("evaluate_restorer.resamples", 99, "100 or more"),
    ("evaluate_generator.images", 1, "2 or more"),
    ("export_synthetic.attempts", 0.5, "1 or more"),
    ("export_synthetic.filters.confidence", 1.5, "1 or less"),
    ("export_synthetic.filters.training_copy", 0, "above 0"),
    ("evaluate_synthetic.utility.seeds", 4, "5 or more"),
    ("evaluate_synthetic.utility.confidence", 1, "below 1"),
    ("evaluate_synthetic.utility.fractions[0]", 0, "1 or more"),
    ("evaluate_synthetic.copies.false_alarms", 0, "above 0"),
    ("promote.restorer.confidence", 0.4, "0.5 or more"),
    ("report.curve_points", 1, "2 or more"),
]


@pytest.mark.parametrize(("key", "value", "needed"), WRONG)
def test_a_number_out_of_its_range_is_refused_by_its_key(
    root: Path, tmp_path: Path, key: str, value: float, needed: str
) -> None:
    values = YAML(typ="safe").load((root / "params.yaml").read_text())
    *parents, last = [int(part) if part.isdigit() else part for part in _parts(key)]
    reduce(lambda inner, part: inner[part], parents, values)[last] = value
    with (tmp_path / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(values, file)
    with pytest.raises(params.ParamsError) as error:
        section = key.split(".")[0]
        params.load(section, SECTIONS[section], tmp_path / "params.yaml")
    assert str(error.value) == f"{key}: found {value}, needed {needed}"


def _parts(key: str) -> list[str]:
    return key.replace("[", ".").replace("]", "").split(".")


@pytest.mark.parametrize("section", SECTIONS)
def test_no_number_of_params_is_without_a_lowest_and_a_highest_value(section: str) -> None:
    assert list(boundless(SECTIONS[section], section)) == []


def boundless(config_class: type, key: str) -> Iterator[str]:
    """Yield the keys of numbers that lack one end of a range."""
    for name, hint in get_type_hints(config_class, include_extras=True).items():
        for leaf, bounds in leaves(hint):
            if is_dataclass(leaf):
                yield from boundless(leaf, f"{key}.{name}")
            elif leaf in (int, float) and not (bounds & {Ge, Gt} and bounds & {Le, Lt}):
                yield f"{key}.{name}"


def leaves(hint: Any) -> Iterator[tuple[Any, set[type]]]:
    """Yield the plain types in a hint, each with the kinds of its bounds."""
    if hasattr(hint, "__metadata__"):
        yield hint.__origin__, {type(bound) for bound in hint.__metadata__}
    elif get_args(hint):
        for part in get_args(hint):
            yield from leaves(part)
    else:
        yield hint, set()


@dataclass(frozen=True)
class Inner:
    depth: Annotated[int, Ge(2), Le(100)] | None


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    betas: tuple[Annotated[float, Ge(0), Lt(1)], ...]


def test_values_that_came_from_elsewhere_are_held_to_the_same_ranges() -> None:
    good = Outer("x", Inner(None), (0.0, 0.9))
    check(good)
    for wrong, sentence in [
        (replace(good, inner=Inner(10**8)), "inner.depth: found 100000000, needed 100 or less"),
        (replace(good, betas=(0.0, 1.0)), "betas[1]: found 1.0, needed below 1"),
        (replace(good, betas=(math.nan,)), "betas[0]: found nan, needed 0 or more"),
    ]:
        with pytest.raises(ValueError) as error:
            check(wrong)
        assert str(error.value) == sentence
