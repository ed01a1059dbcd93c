"""Runs reach MLflow, a lost server never ends a stage, and the logged restorer works anywhere."""

import base64
import json
import os
import sqlite3
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import save_file

from remint.generator.generator import CARD, FORMAT, WEIGHTS, Minter
from remint.generator.networks.catalogue import GeneratorConfig, build_generator
from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.restorer import save_card, save_weights
from tasks.serving.base64_images import encode
from tasks.tracking import delivery, flow_run, runs
from tasks.train_generator import served_example
from tests.processes import wait_until


@dataclass(frozen=True)
class Inner:
    rate: float


@dataclass(frozen=True)
class Config:
    seed: int
    sides: tuple[int, ...]
    inner: Inner


CONFIG = Config(seed=1, sides=(2, 3), inner=Inner(rate=0.5))


@pytest.fixture(scope="module")
def client() -> mlflow.MlflowClient:
    return mlflow.MlflowClient(runs.tracking_uri())


def test_a_stage_is_a_run_with_parameters_figures_and_provenance(
    client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", json.dumps({"mlflow.parentRunId": "abc"}))
    monkeypatch.setenv("DVC_EXP_NAME", "quick-otter")
    with runs.stage_run("corrupt", CONFIG, {"clean": "f00"}) as run:
        run.metrics({"pairs": 12})
    logged = client.get_run(str(run.id))
    assert logged.info.status == "FINISHED"
    assert logged.data.params == {"seed": "1", "sides": "[2, 3]", "inner.rate": "0.5"}
    assert logged.data.metrics == {"pairs": 12.0}
    wanted = {"stage": "corrupt", "data.clean": "f00", "dvc.exp_name": "quick-otter"}
    assert wanted.items() <= logged.data.tags.items()
    assert logged.data.tags["mlflow.parentRunId"] == "abc"
    assert logged.info.run_name == "quick-otter corrupt"
    assert [(i.dataset.name, i.dataset.digest) for i in logged.inputs.dataset_inputs] == [
        ("clean", "f00")
    ]


def test_step_metrics_and_pictures_arrive_in_full(client: mlflow.MlflowClient) -> None:
    with runs.stage_run("train_restorer", CONFIG) as run:
        for step in range(2500):
            run.metrics({"loss": 1.0 / (step + 1)}, step)
        run.image("samples", np.zeros((8, 8, 1), np.uint8), 5)
        run.image("samples", np.zeros((8, 8, 3), np.uint8), 6)
    history = client.get_metric_history(str(run.id), "loss")
    assert [metric.step for metric in history] == list(range(2500))
    assert len(client.list_artifacts(str(run.id), "images")) == 4  # each with its thumbnail


def test_files_are_logged_before_the_stage_moves_them(
    client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a")
    with runs.stage_run("report", CONFIG) as run:
        run.artifact(tmp_path / "a.txt", "page")
        (tmp_path / "a.txt").unlink()
    assert [file.path for file in client.list_artifacts(str(run.id), "page")] == ["page/a.txt"]


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_run_ends_as_its_stage_did(
    client: mlflow.MlflowClient, error: type[BaseException], status: str
) -> None:
    with pytest.raises(error), runs.stage_run("corrupt", CONFIG) as run:
        raise error
    assert client.get_run(str(run.id)).info.status == status


def test_a_stage_goes_on_without_a_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with runs.stage_run("corrupt", CONFIG) as run:
        run.metrics({"loss": 1.0}, 1)
    assert run.id is None
    assert "warning: MLflow has no run of corrupt" in capsys.readouterr().out


class Said:
    """What was printed so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys, self.text = capsys, ""

    def so_far(self) -> str:
        self.text += self.capsys.readouterr().out
        return self.text


def test_a_run_whose_store_was_locked_is_opened_when_it_is_free_and_loses_nothing(
    client: mlflow.MlflowClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    database = tmp_path / "locked.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}?timeout=0.1")
    runs.experiment_id(mlflow.MlflowClient(runs.tracking_uri()))
    other = sqlite3.connect(database)
    other.execute("BEGIN EXCLUSIVE")
    with runs.stage_run("corrupt", CONFIG, {"clean": "f00"}) as run:
        run.metrics({"loss": 0.5}, 1)
        run.image("samples", np.zeros((8, 8, 1), np.uint8), 1)
        said = Said(capsys)
        wait_until(lambda: "opened when the store is back" in said.so_far(), "no warning")
        other.rollback()
        run.artifact(Path(__file__))
    stored = mlflow.MlflowClient(runs.tracking_uri())
    logged = stored.get_run(str(run.id))
    assert (logged.info.status, logged.data.metrics) == ("FINISHED", {"loss": 0.5})
    assert logged.data.params["inner.rate"] == "0.5" and logged.data.tags["data.clean"] == "f00"
    files = {file.path for file in stored.list_artifacts(str(run.id))}
    assert files == {"images", Path(__file__).name}
    assert "lost" not in said.so_far()


def test_other_processes_of_a_distributed_training_log_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", "1")
    with runs.stage_run("train_restorer", CONFIG) as run:
        run.metrics({"loss": 1.0}, 1)
    assert run.id is None


def test_a_service_that_vanishes_is_told_once_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tried = []

    def send() -> None:
        tried.append(1)
        raise ConnectionError("nobody\nthere")

    box = delivery.DeliveryQueue("MLflow")
    for _ in range(10):
        box.put("an image", send)
    box.close()
    box.tell()
    assert len(tried) == delivery.FAILURES_IN_A_ROW
    first, last = capsys.readouterr().out.splitlines()
    assert first == "warning: MLflow did not take an image, work goes on: nobody there"
    assert last == "warning: MLflow lost 10 x an image"


def test_metrics_that_a_store_did_not_take_are_sent_when_it_is_back(
    client: mlflow.MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = mlflow.MlflowClient.log_batch
    away = threading.Event()

    def log_batch(self: mlflow.MlflowClient, *given: Any, **named: Any) -> None:
        if away.is_set():
            raise ConnectionError("nobody there")
        whole(self, *given, **named)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", log_batch)
    with runs.stage_run("train_restorer", CONFIG) as run:
        for step in range(8):
            away.set() if 2 <= step < 7 else away.clear()
            run.metrics({"loss": 1.0 / (step + 1)}, step)
            run.artifact(Path(__file__))  # waits until all before it was tried
        away.clear()
    history = client.get_metric_history(str(run.id), "loss")
    assert [metric.step for metric in history] == list(range(8))
    assert "warning: MLflow did not take metrics" in capsys.readouterr().out


def test_the_queue_does_not_hold_up_its_caller() -> None:
    gate, sent = threading.Event(), []
    box = delivery.DeliveryQueue("MLflow")
    box.put("a batch", gate.wait)
    box.put("a batch", lambda: sent.append(1))
    assert not sent
    gate.set()
    box.close()
    assert sent == [1]


def test_runs_in_dvcs_temporary_copies_are_kept_at_the_repositorys_root(tmp_path: Path) -> None:
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmp1"
    (copy / "data").mkdir(parents=True)
    (tmp_path / "dvc.yaml").touch()
    (copy / "dvc.yaml").touch()
    assert runs.repository_root(copy / "data") == tmp_path.resolve()
    assert runs.repository_root(tmp_path) == tmp_path.resolve()


def test_a_flows_run_carries_every_number_of_all_stages() -> None:
    figures = {"restorer": {"psnr": 30, "split": {"val": 5}, "name": "x", "ok": True}}
    assert flow_run.numbers(figures) == {"restorer.psnr": 30.0, "restorer.split.val": 5.0}


def test_a_flows_run_has_every_parameter_and_the_sample_grids(
    client: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text("a: {b: 1, c: {d: [x]}}")
    (tmp_path / "model/samples").mkdir(parents=True)
    for step in (100, 2000):
        Image.new("L", (8, 6), 9).save(tmp_path / f"model/samples/{step:09d}.png")
    monkeypatch.chdir(tmp_path)
    with flow_run.open_flow_run("calm-otter", {}, print, {"a.b": 2}) as opened:
        opened.models = {"restorer": "model"}
    run = client.get_run(opened.opened["run_id"])
    assert run.data.params == {"a.b": "2", "a.c.d": '["x"]'}
    grids = [file.path for file in client.list_artifacts(run.info.run_id)]
    assert grids == ["restorer-000000100.png", "restorer-000002000.png"]


KILLED = """
import os, signal
from tasks.tracking.flow_run import open_flow_run
with open_flow_run("quick-otter", {"flow": "restoration"}, print) as run:
    print(run.opened["run_id"], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_run_of_a_flow_that_was_killed_ends_as_killed(client: mlflow.MlflowClient) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True)
    run_id = done.stdout.split()[-1]
    wait_until(lambda: client.get_run(run_id).info.status != "RUNNING", "still running")
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("quick-otter", "KILLED")
    assert run.data.tags["flow"] == "restoration"


LEFT = """
import os, signal
from tasks.tracking import runs
run = runs.open_run("otter train", {}, {})
print(run.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_run_of_a_stage_that_was_killed_is_closed_by_the_next_run(
    client: mlflow.MlflowClient,
) -> None:
    def status(run_id: str) -> str:
        return str(client.get_run(run_id).info.status)

    with runs.stage_run("corrupt", CONFIG) as at_work:
        at_work.await_opening()
        done = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True)
        killed = done.stdout.split()[-1]
        assert status(killed) == "RUNNING"
        with runs.stage_run("corrupt", CONFIG) as run:
            run.await_opening()
            assert status(killed) == "KILLED"
            assert status(str(run.id)) == status(str(at_work.id)) == "RUNNING"


def test_a_flow_takes_no_mlflow_along() -> None:
    script = "import flows.pipeline, sys; print({'mlflow', 'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["set()"]


@pytest.fixture(scope="module")
def logged_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a tiny untrained restorer, logged as the stage does it."""
    folder = tmp_path_factory.mktemp("restorer")
    network = NetworkConfig(name="dncnn", width=4, encoder=(), middle=0, stem=1, depth=2)
    save_weights(folder, "fidelity", build_network(network, 1))
    card = {"network": network.__dict__, "channels": 1, "default_interpolation": 0.0}
    save_card(folder, card)
    with runs.stage_run("train_restorer", CONFIG) as run:
        example = encode(np.full((28, 28, 1), 100, np.uint8))
        run.model("restorer", folder, pd.DataFrame({"image": [example]}))
    return model_uri(str(run.id))


@pytest.fixture(scope="module")
def logged_generator(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The URI of a tiny untrained generator, logged as the stage does it, and its second image."""
    folder = tmp_path_factory.mktemp("generator")
    network = GeneratorConfig(
        name="vae", width=8, discriminator_width=8, latent=4, steps=8, guidance=1.0
    )
    card = {"format": FORMAT, "channels": 1, "size": 16, "class_names": ["cat", "dog"]}
    (folder / CARD).write_text(json.dumps({**card, "network": vars(network)}))
    save_file(build_generator(network, 1, 16, 2).state_dict(), folder / WEIGHTS)
    minter = Minter.load(folder, device="cpu")
    with runs.stage_run("train_generator", CONFIG) as run:
        run.model("generator", folder, served_example(minter))
    return model_uri(str(run.id)), encode(minter.mint(np.array([1]), np.array([7]))[0])


def model_uri(run_id: str) -> str:
    client = mlflow.MlflowClient(runs.tracking_uri())
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    return str(found[0].model_uri)


AWAY = """
import json, sys
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f)]
sys.path = [p for p in sys.path if p not in ("", sys.argv[3])]
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
out = model.predict(pd.DataFrame(json.loads(sys.argv[2])))
import remint, tasks
for package in (remint, tasks):
    assert not package.__file__.startswith(sys.argv[3]), package.__file__
assert model.metadata.signature and model.input_example is not None
print(out["image"][0])
"""


def predicted(uri: str, row: dict[str, object], root: Path, folder: Path) -> str:
    """Return the image that a logged model gives for one row, away from the checkout."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    asked = json.dumps({name: [value] for name, value in row.items()})
    done = subprocess.run(
        [sys.executable, "-c", AWAY, uri, asked, str(root)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def test_the_logged_restorer_runs_without_the_checkout(
    logged_model: str, root: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (40, 30, 1), np.uint8)  # which is all that this model knows
    _, png = cv2.imencode(".png", grey.repeat(3, axis=2))
    text = base64.b64encode(png.tobytes()).decode()
    restored = base64.b64decode(predicted(logged_model, {"image": text}, root, tmp_path))
    image = cv2.imdecode(np.frombuffer(restored, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image.shape == (40, 30, 3)


def test_the_logged_generator_mints_the_same_image_without_the_checkout(
    logged_generator: tuple[str, str], root: Path, tmp_path: Path
) -> None:
    uri, image = logged_generator
    assert predicted(uri, {"class": "dog", "seed": 7}, root, tmp_path) == image
