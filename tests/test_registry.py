"""Claims about the registry: who is champion, why, how one goes back, and what is never loaded."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from remint.core.fingerprint import model_fingerprint
from remint.images import imageset
from remint.images.imageset import ImageSet, Record
from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.restorer import Restorer, save_card, save_weights
from remint.restorer.train import TrainRestorerConfig
from remint.restorer_evaluation.evaluation import EvaluateRestorerConfig
from remint.training.starting import StartConfig
from tasks import evaluate_restorer, train_restorer
from tasks.commands.model_choice import chosen_model
from tasks.promotion import fetch, promote, registry
from tasks.promotion.registry import Registry, RegistryError, check_data, model_folder
from tasks.stage import params
from tasks.stage.subjects import another
from tests.processes import LAST_SECONDS
from tests.servers import free_port

NETWORK = NetworkConfig(name="dncnn", width=4, encoder=(), middle=0, stem=1, depth=2)


def train(folder: Path, seed: int, psnr: float) -> None:
    """Leave what training and evaluation leave: a model, and its figures a test image."""
    torch.manual_seed(seed)
    model, report = folder / "data/models/restorer", folder / "data/reports/restorer"
    for path in (model, report):
        path.mkdir(parents=True, exist_ok=True)
    save_weights(model, "fidelity", build_network(NETWORK, 1))
    card = {"network": vars(NETWORK), "channels": 1, "default_interpolation": 0.0}
    save_card(model, card)
    rows = [
        {
            "id": str(k),
            "clean_id": str(k),
            "picture": str(k),
            "kind": "jpeg",
            "severity": 1,
            "psnr": psnr + k % 3,
        }
        for k in range(30)
    ]
    pd.DataFrame(rows).to_parquet(report / "per_image.parquet")
    sets = {name: ImageSet(folder / "data" / name).fingerprint for name in ("clean", "corrupted")}
    facts = {"subject": {**sets, "restorer": model_fingerprint(model), "code": ""}}
    (report / "slices.json").write_text(json.dumps(facts))


STORE = "registry.db"


def registered_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Use the model registry of this checkout alone, since the numbers of versions are claims."""
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / STORE}")
    patch.chdir(folder)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A checkout in which three restorers were promoted in turn: good, better, worse."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "dvc.yaml").touch()
    (folder / "params.yaml").write_text((root / "params.yaml").read_text())
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (16, 16, 1), dtype=np.uint8)
    for name in ("clean", "corrupted"):
        metadata = {"class_names": [], "channels": 1}
        imageset.write(folder / "data" / name, [Record("0", image, "test", "")], metadata=metadata)
    with pytest.MonkeyPatch.context() as patch:
        registered_in(folder, patch)
        for seed, psnr in enumerate((25.0, 26.0, 24.0)):
            train(folder, seed, psnr)
            promote.main(["restorer"])
    return folder


@pytest.fixture
def inside(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it: what one test does to it no other sees."""
    folder = shutil.copytree(checkout, tmp_path / "checkout")
    registered_in(folder, monkeypatch)
    return folder


def aliases() -> dict[str, str]:
    return {a: v.number for v in Registry("restorer").versions() for a in v.aliases}


def test_the_better_one_is_champion_and_the_worse_one_waits_with_reasons(inside: Path) -> None:
    assert aliases() == {"previous": "1", "champion": "2", "challenger": "3"}
    last = Registry("restorer").find("challenger")
    assert last is not None and last.tags["decision"] == "kept back"
    assert "PSNR -2.00 dB" in last.tags["reasons"]
    told = json.loads((inside / "data/reports/promotion-restorer.json").read_text())
    assert told["verdict"] == "version 3 of the restorer is kept back; champion: 2"
    page = (inside / "data/reports/promotion.html").read_text()
    assert "Version 3 of the restorer is kept back; champion: 2." in page
    assert page.count("PSNR -2.00 dB") == 2 and "<td>champion</td>" in page


def test_the_same_weights_are_registered_once(inside: Path) -> None:
    before = len(Registry("restorer").versions())
    promote.main(["restorer"])
    assert len(Registry("restorer").versions()) == before


def test_other_settings_beside_the_champions_weights_are_told_and_not_taken(
    inside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(inside, seed=1, psnr=26.0)
    promote.main(["restorer"])
    assert "these weights are the champion's own" in (said := capsys.readouterr().out)
    assert "not taken over" not in said
    card = inside / "data/models/restorer/restorer.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"default_interpolation": 0.75}))
    promote.main(["restorer"])
    assert "its default_interpolation differs, which is not taken over" in capsys.readouterr().out


def test_going_back_exchanges_champion_and_previous(
    inside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promote.main(["restorer", "--rollback"])
    assert (aliases()["champion"], aliases()["previous"]) == ("1", "2")
    promote.main(["restorer", "--rollback"])
    assert (aliases()["champion"], aliases()["previous"]) == ("2", "1")
    promote.main(["restorer", "--show"])
    assert "champion" in capsys.readouterr().out.splitlines()[-2]


def test_what_was_rolled_back_is_not_promoted_again_by_the_next_night(
    inside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(inside, seed=1, psnr=26.0)  # still what lies there: the better one
    promote.main(["restorer", "--rollback"])
    promote.main(["restorer"])
    assert aliases() == {"champion": "1", "previous": "2", "challenger": "3"}
    assert "it was rolled back by hand, so it stays back" in capsys.readouterr().out
    promote.main(["restorer", "--rollback"])
    promote.main(["restorer"])
    assert aliases()["champion"] == "2"


def test_an_alias_means_a_folder_with_the_registered_weights(inside: Path) -> None:
    folder = model_folder("champion", "restorer")
    version = Registry("restorer").find("champion")
    assert version is not None and model_fingerprint(folder) == version.fingerprint
    assert Restorer.load(folder, device="cpu").channels == 1
    assert model_folder("2", "restorer") == folder
    for name in ("restorer", "remint-restorer"):
        assert chosen_model(f"models:/{name}@champion", "restorer") == folder
        assert chosen_model(f"models:/{name}/2", "restorer") == folder
    with pytest.raises(RegistryError, match="needed a restorer: models:/restorer@champion"):
        model_folder("models:/generator@champion", "restorer")


def test_a_training_may_start_from_the_champion_that_was_fetched(inside: Path) -> None:
    for reference in ("1", "champion"):  # the second time in place of the first
        fetch.fetch("restorer", reference, Path("data/start/champion"))
        version = Registry("restorer").find(reference)
        begun = train_restorer.starting_model(Path("data/start/champion"), 1)
        assert version is not None and begun is not None
        assert begun.fingerprint == version.fingerprint
    with pytest.raises(RegistryError, match="holds no 99 of remint-restorer"):
        fetch.main(["restorer", "99"])


def test_a_first_night_may_begin_without_a_champion(
    inside: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch.main(["restorer", "99", "--or-none", "--into", str(tmp_path)])
    assert "there is no restorer 99 yet" in capsys.readouterr().out
    config = params.load("train_restorer", TrainRestorerConfig)
    config = replace(config, start=StartConfig("99", True))
    fresh, start = train_restorer.begun(config, tmp_path / "99", 1)
    assert start is None and fresh.start.model == "none"
    shutil.copytree("data/models/restorer", tmp_path / "98")  # fetched before: it stays
    with pytest.raises(RegistryError, match="holds no 98"):
        fetch.main(["restorer", "98", "--or-none", "--into", str(tmp_path)])


def test_a_path_is_a_path_and_an_unknown_alias_is_told(inside: Path) -> None:
    assert model_folder("data/models/restorer", "restorer") == Path("data/models/restorer")
    with pytest.raises(RegistryError, match="no champion of remint-generator"):
        model_folder("champion", "generator")


def test_weights_that_were_changed_on_the_way_are_refused(inside: Path) -> None:
    folder = model_folder("previous", "restorer")
    file = folder / "fidelity.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\1\2\3\4")
    with pytest.raises(RegistryError, match="are not those registered"):
        model_folder("previous", "restorer")


def test_a_champion_is_measured_once_as_the_stage_measures(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[tuple[Path, ...]] = []

    def run_stage(config: EvaluateRestorerConfig, *paths: Path) -> None:
        measured.append(paths[:3])
        paths[3].mkdir()
        shutil.copy(inside / "data/reports/restorer/per_image.parquet", paths[3])

    monkeypatch.setattr(evaluate_restorer, "run_stage", run_stage)
    shutil.rmtree("data/cache/promotion")
    train(inside, seed=4, psnr=24.0)
    for _ in range(2):
        promote.main(["restorer"])
    champion = model_folder("champion", "restorer")
    assert measured == [(champion, Path("data/clean"), Path("data/corrupted"))]


def test_figures_of_another_model_are_refused(inside: Path) -> None:
    train(inside, seed=5, psnr=24.0)
    save_weights(inside / "data/models/restorer", "fidelity", build_network(NETWORK, 1))
    with pytest.raises(ValueError, match="speaks of another restorer"):
        promote.main(["restorer"])


@pytest.mark.parametrize("what", ["clean", "corrupted", "code"])
def test_figures_of_other_data_and_of_other_code_are_refused(inside: Path, what: str) -> None:
    train(inside, seed=6, psnr=24.0)
    told = inside / "data/reports/restorer/slices.json"
    facts = json.loads(told.read_text())
    facts["subject"][what] = "f00d"
    told.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=rf"{another(what)} .*dvc repro -f -s evaluate_restorer"):
        promote.main(["restorer"])


def test_anything_but_data_in_a_registered_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "restorer.json").write_text("{}")
    check_data(tmp_path)
    (tmp_path / "fidelity.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(RegistryError, match=r"holds fidelity\.pkl"):
        check_data(tmp_path)


def test_a_registry_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match="can't list the model registry"):
        registry.Registry("restorer").versions()


@pytest.mark.slow
def test_a_served_champion_answers_with_a_restored_image(inside: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["-m", "models:/remint-restorer@champion", "-h", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    try:
        await_answer(f"http://127.0.0.1:{port}/ping", server)
        _, png = cv2.imencode(".png", np.full((20, 30, 1), 90, np.uint8))
        text = base64.b64encode(png.tobytes()).decode()
        asked = {"dataframe_split": {"columns": ["image"], "data": [[text]]}}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps(asked).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=LAST_SECONDS) as answer:
            row = json.load(answer)["predictions"][0]
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    restored = base64.b64decode(row["image"])
    assert cv2.imdecode(np.frombuffer(restored, np.uint8), 0).shape == (20, 30)


def await_answer(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LAST_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the server did not come up")
