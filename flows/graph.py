"""The order of the stages, as DVC itself sees it: nothing of the graph is written down twice."""

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
from ruamel.yaml import YAML

from flows.stages import DVC, environment
from tasks.stage.console import discreet


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml."""

    name: str
    parents: tuple[str, ...]  # stages whose outputs it reads
    metrics: tuple[str, ...]  # JSON files with its figures, as paths from the root
    kept: tuple[str, ...]  # outputs that git keeps and DVC's cache does not


def read(root: Path) -> list[Stage]:
    """Return the stages of `root`'s dvc.yaml, each after all that it reads from.

    Stages that could go in either order stand as in dvc.yaml. Edges are those of `dvc dag`;
    outputs are taken as dvc.yaml writes them.
    """
    if not (root / "dvc.yaml").is_file():
        raise FileNotFoundError(f"{root} holds no dvc.yaml; run flows from the repository's root")
    written = YAML(typ="safe").load(root / "dvc.yaml")["stages"]
    graph = nx.DiGraph()
    graph.add_nodes_from(written)
    # what `dvc add` tracks is a node of DVC's, and no stage
    graph.add_edges_from(edge for edge in _edges(root) if written.keys() >= set(edge))
    order = nx.lexicographical_topological_sort(graph, key=list(written).index)
    return [_stage(name, sorted(graph.predecessors(name)), written[name]) for name in order]


def _edges(root: Path) -> list[tuple[str, str]]:
    """Return pairs of a stage and one that reads from it."""
    done = subprocess.run(
        [*DVC, "dag", "--dot"], cwd=root, env=environment({}), capture_output=True, text=True
    )
    if done.returncode:
        raise ValueError(discreet(f"dvc dag: {done.stderr.strip() or 'failed'}"))
    return re.findall(r'"(.+)" -> "(.+)";', done.stdout)


def _stage(name: str, parents: Sequence[str], written: Mapping[str, Any]) -> Stage:
    metrics = _outputs(written.get("metrics", []))
    outputs = metrics | _outputs(written.get("outs", []))
    kept = tuple(path for path, flags in outputs.items() if not flags.get("cache", True))
    return Stage(name, tuple(parents), tuple(metrics), kept)


def _outputs(written: Iterable[Any]) -> dict[str, Mapping[str, Any]]:
    """Return the paths of a list of outputs with their flags."""
    entries = (entry if isinstance(entry, Mapping) else {entry: {}} for entry in written)
    return {path: flags for entry in entries for path, flags in entry.items()}


def with_ancestors(stages: Sequence[Stage], goals: Iterable[str]) -> list[Stage]:
    """Return the goals and all that they read from, directly or not, in the same order."""
    wanted = set(goals)
    missing = wanted - {stage.name for stage in stages}
    if missing:
        raise ValueError(f"dvc.yaml has no stage {', '.join(sorted(missing))}")
    for stage in reversed(stages):
        if stage.name in wanted:
            wanted |= set(stage.parents)
    return [stage for stage in stages if stage.name in wanted]


def followers(stages: Sequence[Stage]) -> dict[str, int]:
    """Return for each stage how many stages the longest chain of readers after it has.

    stages: each after all that it reads from.
    """
    longest = {stage.name: 0 for stage in stages}
    for stage in reversed(stages):
        for parent in stage.parents:
            longest[parent] = max(longest[parent], 1 + longest[stage.name])
    return longest
