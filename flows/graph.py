"""The order of the stages, as DVC itself sees it: nothing of the graph is written down twice."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
from dvc.repo import Repo


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml."""

    name: str
    parents: tuple[str, ...]  # stages whose outputs it reads
    metrics: tuple[str, ...]  # JSON files with its figures, as paths from the root
    kept: tuple[str, ...]  # outputs that git keeps and DVC's cache does not


def read(root: Path) -> list[Stage]:
    """Return the stages of `root`'s dvc.yaml, each after all that it reads from.

    Stages that could go in either order stand as in dvc.yaml.
    """
    if not (root / "dvc.yaml").is_file():
        raise FileNotFoundError(f"{root} holds no dvc.yaml; run flows from the repository's root")
    with Repo(str(root)) as repo:
        places = {stage: place for place, stage in enumerate(repo.index.stages)}
        # DVC's edges point from a stage to what it needs.
        graph = repo.index.graph.reverse(copy=True)
        order = nx.lexicographical_topological_sort(graph, key=places.__getitem__)
        return [_stage(stage, graph, root) for stage in order]


def _stage(stage: object, graph: nx.DiGraph, root: Path) -> Stage:
    outs = stage.outs  # type: ignore[attr-defined]
    return Stage(
        name=_name(stage),
        parents=tuple(sorted(_name(parent) for parent in graph.predecessors(stage))),
        metrics=tuple(_path(out, root) for out in outs if out.metric),
        kept=tuple(_path(out, root) for out in outs if not out.use_cache),
    )


def _name(stage: object) -> str:
    return str(stage.addressing)  # type: ignore[attr-defined]


def _path(out: object, root: Path) -> str:
    return Path(out.fs_path).relative_to(root.resolve()).as_posix()  # type: ignore[attr-defined]


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
