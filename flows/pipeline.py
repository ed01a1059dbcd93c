"""The flows: `restoration` and `augmentation` up to a page of their own, `pipeline` everything.

The halves share nothing but the ingested set: on a machine that has room they may run side by side,
each in a process of its own. `python -m flows.pipeline restoration` runs one here and now, with the
server of the active Prefect profile or, where none is set, with a temporary one.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from pydantic import Field

from flows import away, exclusive, experiment, graph, here, promotion, stages
from tasks.tracking.flow_run import FlowRun, open_flow_run

RESTORATION = ("evaluate_restorer", "report_restoration")
AUGMENTATION = ("evaluate_generator", "evaluate_synthetic", "report_augmentation")
GPU_STAGES = "train_"  # stages whose name begins so queue for the limit "gpu", where it exists
REPORTS = "data/reports"
MODELS = ("restorer", "generator")
Minutes = Annotated[float | None, Field(gt=0, description="limit of each stage; none: no limit")]


def worth_a_retry(_task: Any, _run: Any, state: Any) -> bool:
    """Return whether a failure may pass: a killed stage resumes, a store may be back; no other."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, stages.StageError) and error.may_pass


# Called in the flow's main thread, where a cancel reaches it; DVC alone decides what is cached.
@task(
    task_run_name="{name}",
    cache_policy=NO_CACHE,
    retries=1,
    retry_delay_seconds=10,
    retry_condition_fn=worth_a_retry,
)
def run_stage(name: str, context: dict[str, str], minutes: float | None = None) -> stages.Outcome:
    """Bring one stage up to date, within `minutes`."""
    with exclusive.gpu(name.startswith(GPU_STAGES)):
        return stages.run(name, context, get_run_logger().info, Path.cwd(), minutes)


@flow(name="restoration", validate_parameters=True)
def restoration(
    promote: bool = False,
    stage_timeout_minutes: Minutes = None,
    fetch_champion: bool = False,
    fresh_without_champion: bool = False,
) -> None:
    """Ingest, corrupt, train and evaluate the restorer, write its page.

    promote: let it become the champion if it beats the present one; stage_timeout_minutes: a
    stage that takes longer is ended and fails; fetch_champion: put the present champion at
    data/start/champion first, where `train_restorer.start.model: champion` finds it;
    fresh_without_champion: while there is none yet, training begins with fresh weights.
    """
    walk(RESTORATION, promote, stage_timeout_minutes, fetch_champion, fresh_without_champion)


@flow(name="augmentation", validate_parameters=True)
def augmentation(
    promote: bool = False,
    stage_timeout_minutes: Minutes = None,
    fetch_champion: bool = False,
    fresh_without_champion: bool = False,
) -> None:
    """Ingest, train and evaluate the generator, export and try its images, write their page.

    Parameters: as for `restoration`; the champion is put at data/start/generator-champion.
    """
    walk(AUGMENTATION, promote, stage_timeout_minutes, fetch_champion, fresh_without_champion)


@flow(name="pipeline", validate_parameters=True)
def pipeline(
    promote: bool = False,
    stage_timeout_minutes: Minutes = None,
    fetch_champion: bool = False,
    fresh_without_champion: bool = False,
) -> None:
    """Bring every stage of dvc.yaml up to date.

    Parameters: as for `restoration`.
    """
    walk((), promote, stage_timeout_minutes, fetch_champion, fresh_without_champion)


def walk(
    goals: Sequence[str],
    promote: bool = False,
    minutes: float | None = None,
    fetch_champion: bool = False,
    fresh_without_champion: bool = False,
) -> None:
    """Run the goals and all that they read from, and publish what came out, in a flow run.

    goals: stages, () for all. What depends on a failed stage is left out, the rest still runs;
    then the first error is raised again.
    """
    log, name, root = get_run_logger(), str(flow_run.get_name()), Path.cwd()
    tags = {"flow": str(flow_run.get_flow_name()), "flow_run": name}
    own = str(flow_run.get_id())
    held = exclusive.checkout(root, name, own)
    with held as killed, open_flow_run(name, tags, log.info) as run:
        if killed not in ("", own):  # its own: it is tried again
            away.close_killed(killed, log)
        order = graph.read(root)
        order = graph.with_ancestors(order, goals) if goals else order
        trainings = [stage.name for stage in order if stage.name in promotion.BEGUN]
        if fetch_champion:
            promotion.fetch_champions(trainings, log, root, fresh_without_champion)
        promotion.need_starts(trainings, root)
        outcomes, failures = bring_up_to_date(order, goals, run.context(tags), minutes)
        done = [stage for stage in order if stage.name in outcomes]
        run.models = {n: f"data/models/{n}" for n in MODELS if f"train_{n}" in outcomes}
        run.figures = figures_of(done)
        saved = _save(name, order) if any(o.ran for o in outcomes.values()) else None
        publish(outcomes, run, saved)
        if promote:
            promotion.promote_all([stage.name for stage in done], log, root)
        if failures:
            raise failures[0]


def bring_up_to_date(
    order: Sequence[graph.Stage],
    goals: Sequence[str],
    context: dict[str, str],
    minutes: float | None,
) -> tuple[dict[str, stages.Outcome], list[Exception]]:
    """Run what has changed; one look tells whether that is nothing."""
    if stages.unchanged(goals, Path.cwd()):
        get_run_logger().info("nothing has changed since the last run: no stage is run")
        return {stage.name: stages.Outcome(stage.name, False, 0.0) for stage in order}, []
    return run_all(order, context, minutes)


def run_all(
    order: Sequence[graph.Stage], context: dict[str, str], minutes: float | None = None
) -> tuple[dict[str, stages.Outcome], list[Exception]]:
    """Run each stage whose parents did not fail; return outcomes by name, and the failures."""
    outcomes: dict[str, stages.Outcome] = {}
    failures: list[Exception] = []
    stopped: set[str] = set()
    for stage in order:
        if stopped & set(stage.parents):
            stopped.add(stage.name)
            get_run_logger().warning("stage %s is left out: what it reads failed", stage.name)
            continue
        try:
            outcomes[stage.name] = run_stage(stage.name, context, minutes)
        except stages.StageError as error:
            failures.append(error)
            stopped.add(stage.name)
    return outcomes, failures


def _save(name: str, order: Sequence[graph.Stage]) -> str | None:
    """Save the run as a DVC experiment; where that can't be had, say why and go on."""
    files = ["dvc.lock", *(file for stage in order for file in stage.kept)]
    try:
        experiment.save(Path.cwd(), name, files)
    except experiment.ExperimentError as error:
        get_run_logger().warning("not saved as a DVC experiment: %s", error)
        return None
    try:
        experiment.push(Path.cwd(), name, get_run_logger().info)
    except experiment.ExperimentError as error:
        get_run_logger().warning("the experiment stays on this machine: %s", error)
    return name


def publish(outcomes: dict[str, stages.Outcome], run: FlowRun, saved: str | None) -> None:
    """Show the figures, the stages and where the run stands as artifacts of the flow run."""
    told = where(run.opened, saved)
    get_run_logger().info("where it stands:\n%s", told)
    rows = [
        {"stage": o.stage, "outcome": "ran" if o.ran else "cached", "seconds": round(o.seconds, 1)}
        for o in outcomes.values()
    ]
    with away.server_may_be_away(get_run_logger()):
        create_table_artifact(figure_rows(run.figures), key="figures", description="All figures")
        create_table_artifact(rows, key="stages", description="What ran and what was cached")
        create_markdown_artifact(told, key="run", description="Where it stands")


def figures_of(order: Sequence[graph.Stage]) -> dict[str, Any]:
    """Return what the stages' metrics files hold that exist, by the names of their folders."""
    files = [Path(file) for stage in order for file in stage.metrics]
    return {f.parent.name: json.loads(f.read_text("utf-8")) for f in files if f.is_file()}


def figure_rows(figures: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row a figure that is a number; figures: by group and name."""
    return [
        {"group": group, "figure": name, "value": value}
        for group, named in figures.items()
        for name, value in named.items()
        if isinstance(value, int | float)
    ]


def where(opened: Mapping[str, Any], saved: str | None) -> str:
    """Return Markdown that says where the MLflow run, the DVC experiment and the report are."""
    url, run_id = opened.get("url"), opened.get("run_id")
    shown = f"[{run_id}]({url})" if url else f"`{run_id}` in `{opened.get('uri')}`, see `make ui`"
    return "\n".join(
        [
            f"- MLflow run: {shown if run_id else 'none, MLflow was not to be had'}",
            f"- DVC experiment: {f'`{saved}`, see `dvc exp show`' if saved else 'none'}",
            f"- report: a page in `{REPORTS}`",
        ]
    )


FLOWS: dict[str, Callable[[], object]] = {
    "restoration": restoration,
    "augmentation": augmentation,
    "pipeline": pipeline,
}
# What a flow that runs here and now says in one sentence.
EXPECTED = (stages.StageError, exclusive.CheckoutBusyError, promotion.NoStartError)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one flow now; exit 1 with the failed stage's last lines if it fails."""
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description=__doc__)
    parser.add_argument("flow", choices=FLOWS)
    chosen = FLOWS[parser.parse_args(argv).flow]
    with here.and_now(*EXPECTED):
        chosen()


if __name__ == "__main__":
    main()
