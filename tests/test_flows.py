"""Flows run what DVC's graph says, stop what a failure stops, and leave nothing behind."""

import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from prefect.client.orchestration import get_client
from prefect.states import Running
from prefect.testing.utilities import prefect_test_harness
from ruamel.yaml import YAML

from flows import away, compare, exclusive, experiment, graph, inbox, pipeline, promotion, stages
from tasks.tracking.flow_run import open_flow_run
from tests.processes import LAST_SECONDS
from tests.servers import EVALUATE, quick_repository

DVC_YAML = f"""
stages:
  report_restoration:
    cmd: cat data/reports/restorer/metrics.json model > page
    deps: [data/reports/restorer/metrics.json, model]
    outs: [page]
  train_restorer:
    cmd: echo training && python -c "print(open('in').read())" > model
    deps: [in]
    outs: [model]
{EVALUATE}
  apart:
    cmd: echo apart > apart
    outs: [apart]
"""


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def repo(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of four quick stages, as working folder."""
    (folder := tmp_path / "repo").mkdir()
    quick_repository(folder, root, DVC_YAML)
    monkeypatch.chdir(folder)
    # flows start `python -m tasks.tracking.flow_run`, which is found beside the stages elsewhere
    monkeypatch.setenv("PYTHONPATH", str(root))
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=int(LAST_SECONDS)):
        yield


def names(found: list[graph.Stage]) -> list[str]:
    return [stage.name for stage in found]


def test_the_order_is_dvcs_own(repo: Path) -> None:
    found = graph.read(repo)
    assert names(found) == ["train_restorer", "evaluate_restorer", "report_restoration", "apart"]
    by_name = {stage.name: stage for stage in found}
    assert by_name["report_restoration"].parents == ("evaluate_restorer", "train_restorer")
    assert by_name["evaluate_restorer"].metrics == ("data/reports/restorer/metrics.json",)
    assert by_name["evaluate_restorer"].kept == ("data/reports/restorer/metrics.json",)


def test_what_dvc_add_tracks_is_no_stage(repo: Path) -> None:
    before = names(graph.read(repo))
    subprocess.run(["git", "rm", "-q", "--cached", "in"], cwd=repo, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "in"], cwd=repo, check=True)
    assert names(graph.read(repo)) == before


def test_a_goal_takes_all_that_it_reads_from_and_no_more(repo: Path) -> None:
    found = graph.with_ancestors(graph.read(repo), ["evaluate_restorer"])
    assert names(found) == ["train_restorer", "evaluate_restorer"]
    with pytest.raises(ValueError, match="no stage evaluate"):
        graph.with_ancestors(found, ["evaluate"])


def test_the_projects_own_graph_holds_what_the_flows_name(root: Path) -> None:
    found = graph.read(root)
    restoring, minting = (
        names(graph.with_ancestors(found, goals))
        for goals in (pipeline.RESTORATION, pipeline.AUGMENTATION)
    )
    assert set(restoring) & set(minting) == {"ingest"}
    assert set(names(found)) == {*restoring, *minting, "report"}


def test_a_stage_runs_once_and_is_cached_after(repo: Path) -> None:
    lines: list[str] = []
    first = stages.run("train_restorer", {}, lines.append, repo)
    again = stages.run("train_restorer", {}, lambda _: None, repo)
    assert (first.ran, again.ran) == (True, False)
    assert "training" in lines and not any("git add" in line for line in lines)


def test_a_stage_from_dvcs_run_cache_counts_as_cached(repo: Path) -> None:
    stages.run("train_restorer", {}, lambda _: None, repo)
    (repo / "dvc.lock").unlink()
    assert not stages.run("train_restorer", {}, lambda _: None, repo).ran


def test_a_failing_stage_tells_its_last_lines(repo: Path) -> None:
    (repo / "dvc.yaml").write_text(DVC_YAML.replace("echo training", "echo no memory; false"))
    with pytest.raises(stages.StageError, match=r"(?s)train_restorer failed.*no memory") as error:
        stages.run("train_restorer", {}, lambda _: None, repo)
    assert not error.value.may_pass


def test_a_killed_stage_is_worth_a_retry_an_error_is_not(repo: Path) -> None:
    text = DVC_YAML.replace("echo training &&", "kill -9 $$ &&")
    (repo / "dvc.yaml").write_text(text)
    with pytest.raises(stages.StageError) as error:
        stages.run("train_restorer", {}, lambda _: None, repo)
    assert error.value.may_pass


def test_an_interrupted_stage_leaves_no_process(repo: Path) -> None:
    text = DVC_YAML.replace("echo training", "echo $$ && sleep 300")
    (repo / "dvc.yaml").write_text(text)
    pids: list[int] = []

    def stop_when_running(line: str) -> None:
        if line.isdigit():
            pids.append(int(line))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.run("train_restorer", {}, stop_when_running, repo)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_stage_over_its_time_limit_is_ended_and_named(repo: Path) -> None:
    (repo / "dvc.yaml").write_text(DVC_YAML.replace("echo training", "sleep 302"))
    with pytest.raises(stages.StageError, match=r"train_restorer was ended: .* limit") as error:
        stages.run("train_restorer", {}, lambda _: None, repo, minutes=0.05)
    assert not error.value.may_pass
    assert "sleep 302" not in subprocess.run(["ps", "ax"], capture_output=True, text=True).stdout


def test_one_look_tells_that_nothing_has_changed(repo: Path) -> None:
    goal = ["train_restorer"]
    assert not stages.unchanged(goal, repo)
    stages.run("train_restorer", {}, lambda _: None, repo)
    assert stages.unchanged(goal, repo) and not stages.unchanged([], repo)
    (repo / "in").write_text("2")
    assert not stages.unchanged(goal, repo)


def test_a_checkout_is_held_by_one_run_which_the_other_names(repo: Path) -> None:
    busy = pytest.raises(exclusive.CheckoutBusyError, match="in use by flow run quick-otter")
    with exclusive.checkout(repo, "quick-otter"), busy, exclusive.checkout(repo, "slow-cat"):
        pass
    with exclusive.checkout(repo, "slow-cat"):
        assert "slow-cat" in (repo / exclusive.LOCK).read_text()


def test_a_run_that_was_killed_is_closed_as_crashed_by_the_next(
    repo: Path, server: None, caplog: pytest.LogCaptureFixture
) -> None:
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(pipeline.pipeline, state=Running())
        (repo / exclusive.LOCK).parent.mkdir(parents=True, exist_ok=True)
        (repo / exclusive.LOCK).write_text(f"flow run killed (process 1)\n{run.id}\n")
        with exclusive.checkout(repo, "next") as killed:
            away.close_killed(killed, logging.getLogger("flow"))
        state = client.read_flow_run(run.id).state
        assert state is not None and state.is_crashed() and "killed" in str(state.message)
        client.delete_flow_run(run.id)  # others look for theirs on the same server
    with exclusive.checkout(repo, "third") as killed:
        assert killed == ""
    away.close_killed(str(uuid4()), logging.getLogger("flow"))  # of another server


def test_stages_wait_for_a_neighbours_lock(repo: Path) -> None:
    text = DVC_YAML.replace("echo apart", "sleep 2 && echo apart")
    (repo / "dvc.yaml").write_text(text)
    other = threading.Thread(target=stages.run, args=("apart", {}, lambda _: None, repo))
    other.start()
    assert stages.run("train_restorer", {}, lambda _: None, repo).ran
    other.join()
    assert (repo / "apart").exists()


def test_a_run_is_saved_as_a_dvc_experiment_and_the_users_work_stays(repo: Path) -> None:
    stages.run("train_restorer", {}, lambda _: None, repo)
    stages.run("evaluate_restorer", {}, lambda _: None, repo)
    (repo / "in").write_text("2")
    (repo / "notes").write_text("mine")
    git(repo, "add", "notes")
    before = git(repo, "status", "--porcelain"), git(repo, "branch", "--show-current")
    commit = experiment.save(
        repo, "quick-otter", ["dvc.lock", "data/reports/restorer/metrics.json"]
    )
    assert (git(repo, "status", "--porcelain"), git(repo, "branch", "--show-current")) == before
    kept = git(repo, "ls-tree", "-r", "--name-only", commit).split()
    assert {"dvc.lock", "data/reports/restorer/metrics.json"} <= set(kept)
    assert git(repo, "show", f"{commit}:in") == "2"
    shown = subprocess.run([*stages.DVC, "exp", "show", "--csv"], capture_output=True, text=True)
    row = next(line for line in shown.stdout.splitlines() if line.startswith("quick-otter"))
    assert "30.5" in row


def test_an_experiments_name_is_never_taken_twice(repo: Path) -> None:
    experiment.save(repo, "quick-otter", [])
    with pytest.raises(experiment.ExperimentError):
        experiment.save(repo, "quick-otter", [])


def test_a_pushed_run_comes_back_in_another_clone(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repo, "init", "-q", "--bare", str(tmp_path / "hub"))
    git(repo, "remote", "add", "hub", str(tmp_path / "hub"))
    git(repo, "push", "-q", "hub", "HEAD:refs/heads/main")
    subprocess.run(
        [*stages.DVC, "remote", "add", "-q", "-d", "store", str(tmp_path / "store")], check=True
    )
    stages.run("train_restorer", {}, lambda _: None, repo)
    experiment.save(repo, "quick-otter", ["dvc.lock"])
    monkeypatch.setenv("REMINT_PUSH", "hub")
    said: list[str] = []
    experiment.push(repo, "quick-otter", said.append)
    assert said and "quick-otter" in git(tmp_path / "hub", "for-each-ref", "refs/exps")
    assert list((tmp_path / "store").rglob("*"))


def test_a_push_that_fails_says_why(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment.save(repo, "quick-otter", [])
    monkeypatch.setenv("REMINT_PUSH", "nowhere")
    with pytest.raises(experiment.ExperimentError, match="dvc exp push to nowhere"):
        experiment.push(repo, "quick-otter", print)


def test_a_run_outside_git_is_not_saved_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(experiment.ExperimentError, match="git rev-parse"):
        experiment.save(tmp_path, "quick-otter", [])


def test_the_parent_run_takes_the_figures_and_ends_with_the_flow(repo: Path, root: Path) -> None:
    lines: list[str] = []
    with open_flow_run("quick-otter", {"flow": "restoration"}, lines.append) as parent:
        context = parent.context({"flow_run": "quick-otter"})["MLFLOW_RUN_CONTEXT"]
        parent.figures = {"restorer": {"psnr": 30.5}}
    assert parent.opened["run_id"] in context and not lines
    script = (
        "import sys; from tasks.tracking.models import mlflow; c = mlflow.MlflowClient(); "
        "r = c.get_run(sys.argv[1]); print(r.info.status, r.data.metrics)"
    )
    command = [sys.executable, "-c", script, parent.opened["run_id"]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "FINISHED {'restorer.psnr': 30.5}\n"


def test_what_reads_from_a_failed_stage_is_left_out_and_the_rest_runs(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def run_stage(name: str, context: dict[str, str], minutes: None) -> stages.Outcome:
        called.append(name)
        if name == "evaluate_restorer":
            raise stages.StageError(name, stages.End(255, ("ERROR: no weights",), False))
        return stages.Outcome(name, True, 0.1)

    monkeypatch.setattr(pipeline, "run_stage", run_stage)
    monkeypatch.setattr(pipeline, "get_run_logger", lambda: logging.getLogger("flow"))
    outcomes, failures = pipeline.run_all(graph.read(repo), {})
    assert called == ["train_restorer", "evaluate_restorer", "apart"]
    assert list(outcomes) == ["train_restorer", "apart"]
    assert "ERROR: no weights" in str(failures[0])


def test_where_a_run_stands_is_said_with_and_without_mlflow() -> None:
    told = pipeline.where({"run_id": "f00", "uri": "u", "url": "http://h/f00"}, "quick-otter")
    assert "[f00](http://h/f00)" in told and "`quick-otter`" in told
    assert "MLflow was not to be had" in pipeline.where({}, None)


def test_a_flow_runs_the_stages_and_publishes_what_came_out(server: None, repo: Path) -> None:
    pipeline.restoration()
    assert (repo / "page").exists() and not (repo / "apart").exists()
    with get_client(sync_client=True) as client:
        found = {artifact.key: artifact.data for artifact in client.read_artifacts()}
        runs = [run.name for run in client.read_flow_runs()]
    assert '"psnr", "value": 30.5' in str(found["figures"])
    assert str(found["stages"]).count('"ran"') == 3
    assert runs[0] in git(repo, "for-each-ref", "--format=%(refname)", "refs/exps")


def test_a_flow_fails_with_the_stages_own_last_lines(server: None, repo: Path) -> None:
    (repo / "dvc.yaml").write_text(DVC_YAML.replace("echo training", "echo no memory; false"))
    with pytest.raises(stages.StageError, match="no memory"):
        pipeline.restoration()


def test_a_value_without_its_key_is_refused_before_anything_is_started(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        compare.main(["--set", "train_generator.seed=2", "foo"])
    assert ended.value.code == 2
    assert "--set: found foo, needed KEY=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--set", "train_generator.sed=2"], "no train_generator.sed, did you mean seed?"),
        (["--set", "ingest.source.name=x"], "params.yaml has no ingest.source.name"),
        (["--goal", "report_augmentatio"], "did you mean report_augmentation?"),
    ],
)
def test_what_the_project_does_not_have_is_refused_before_anything_is_started(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(SystemExit, match="2"):
        compare.main(options)
    assert sentence in capsys.readouterr().err


def test_variants_become_experiments_side_by_side_and_the_checkout_stays(
    server: None, repo: Path
) -> None:
    (repo / "params.yaml").write_text("level: 1\n")
    text = DVC_YAML.replace("echo '{\"psnr\":30.5}'", "echo '{\"psnr\":${level}}'")
    (repo / "dvc.yaml").write_text(text)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "level")
    broken = {"level": "no number: ["}
    with pytest.raises(compare.CompareError, match="broken"):
        compare.compare({"a": {"level": 2}, "broken": broken, "b": {"level": 3}}, {}, "apart")
    compare.compare({"a": {"level": 2}, "b": {"level": 3}}, {}, "evaluate_restorer")
    with get_client(sync_client=True) as client:
        tables = [a.data for a in client.read_artifacts() if a.key == "comparison"]
    assert any('"a": 2' in str(table) and '"b": 3' in str(table) for table in tables)
    assert not git(repo, "status", "--porcelain")


def test_every_value_of_the_variants_arrives_in_params_as_it_was(
    tmp_path: Path, root: Path
) -> None:
    path = tmp_path / "params.yaml"
    for values in compare.VARIANTS.values():
        path.write_text((root / "params.yaml").read_text())
        apply_overrides(path, [f"{key}={compare._text(value)}" for key, value in values.items()])
        read = YAML(typ="safe").load(path)
        for key, value in values.items():
            assert reduce(lambda part, name: part[name], key.split("."), read) == value


def test_a_cancelled_flow_ends_its_stage(repo: Path, server: None) -> None:
    (repo / "dvc.yaml").write_text(DVC_YAML.replace("echo training", "sleep 301"))
    flow = subprocess.Popen(
        [sys.executable, "-m", "flows.pipeline", "restoration"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PREFECT_API_URL": _api_url()},
    )
    assert flow.stdout is not None
    for line in flow.stdout:
        if "sleep 301" in line:
            break
    started = time.monotonic()
    flow.send_signal(signal.SIGTERM)
    flow.communicate()
    assert time.monotonic() - started < 200  # it does not wait for the stage's own end
    assert "sleep 301" not in subprocess.run(["ps", "ax"], capture_output=True, text=True).stdout


def _api_url() -> str:
    from prefect.settings import PREFECT_API_URL

    return str(PREFECT_API_URL.value())


def test_the_deployments_name_flows_that_exist_and_parameters_they_take(root: Path) -> None:
    text = (root / "prefect.yaml").read_text(encoding="utf-8")
    found = {pipeline.pipeline, inbox.restore_inbox, compare.compare}
    for deployment in yaml.safe_load(text)["deployments"]:
        path, name = deployment["entrypoint"].split(":")
        flow = getattr(importlib.import_module(f"flows.{Path(path).stem}"), name)
        assert flow in found
        flow.validate_parameters(deployment.get("parameters", {}))


def test_a_night_without_a_champion_goes_on_from_what_was_fetched_before(
    repo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (repo / "data/start/champion").mkdir(parents=True)
    (repo / "data/start/champion/restorer.json").write_text("{}")
    promotion.fetch_champions(["train_restorer"], logging.getLogger("night"), repo)
    assert "the champion restorer was not fetched" in caplog.text
    assert (repo / "data/start/champion/restorer.json").read_text() == "{}"


@pytest.mark.parametrize("training", ["train_restorer", "train_generator"])
def test_a_start_that_is_not_there_is_one_sentence_before_any_stage(
    repo: Path, training: str
) -> None:
    promotion.need_starts([training], repo)
    (repo / "params.yaml").write_text(f"{training}: {{start: {{model: champion}}}}\n")
    promotion.need_starts([], repo)
    with pytest.raises(promotion.NoStartError, match="there is no data/start/champion: put a"):
        promotion.need_starts([training], repo)
    (repo / "data/start/champion").mkdir(parents=True)
    promotion.need_starts([training], repo)


def test_a_copy_for_an_experiment_takes_models_to_start_from_along(repo: Path) -> None:
    for name in ("none", "champion", "tracked"):
        (repo / "data/start" / name).mkdir(parents=True)
    (repo / "data/start/none/README.md").touch()
    (repo / "data/start/tracked.dvc").touch()
    (repo / "data/start/shipped").symlink_to("../..")  # git brings it, as a link
    subprocess.run(["git", "add", "-f", "data/start/none", "data/start/shipped"], check=True)
    assert compare.starts(repo) == ["data/start/champion"]
