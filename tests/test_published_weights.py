"""Claims about fetching published weights: whole and right, or absent with one note."""

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from remint.metrics import optional, published
from remint.metrics.frechet import frechet_distance_of_features
from tasks.stage import params
from tests.sections import SECTIONS

pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed: no Inception FID")


class Served(ThreadingHTTPServer):
    """Serves `content` whatever is asked for, byte by byte where `drip` is set."""

    content = b""
    drip = False
    asked = 0

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hung up."""


class Handler(BaseHTTPRequestHandler):
    server: Served

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200 if self.server.content else 404)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        step = 1 if self.server.drip else len(self.server.content) or 1
        for start in range(0, len(self.server.content), step):
            self.wfile.write(self.server.content[start : start + step])
            time.sleep(0.02 if self.server.drip else 0.0)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    served = Served(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{served.server_port}/weights.pth"
    monkeypatch.setattr(published, "inception_address", lambda: address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    thread = threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def saved(value: object, path: Path) -> bytes:
    torch.save(value, path)
    return path.read_bytes()


def named_for(content: bytes, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the weights of Inception be those bytes."""
    name = f"inception-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.setattr(optional, "INCEPTION", name)
    return name


def fetch() -> list[str]:
    return published.fetch_published("auto", ["fid"], lambda _: None)


def test_the_right_file_is_put_in_place_and_asked_for_once(
    server: Served, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = saved({"weight": torch.arange(3.0)}, tmp_path / "served.pth")
    name = named_for(server.content, monkeypatch)
    assert fetch() == fetch() == []
    assert server.asked == 1
    assert [file.name for file in hub.iterdir()] == [name]
    assert (hub / name).read_bytes() == server.content


def test_present_asks_nobody(server: Served, hub: Path) -> None:
    assert published.fetch_published("present", ["fid", "lpips"], pytest.fail) == []
    assert not server.asked and not hub.exists()


def test_another_hash_is_refused_and_leaves_nothing(server: Served, hub: Path) -> None:
    server.content = b"something else"
    (note,) = fetch()
    assert "another hash" in note and optional.INCEPTION in note
    assert not list(hub.iterdir())


def test_code_in_the_place_of_weights_is_refused_whatever_its_hash(
    server: Served, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = saved({"weight": Path("code")}, tmp_path / "served.pth")
    named_for(server.content, monkeypatch)
    (note,) = fetch()
    assert "more than weights" in note
    assert not list(hub.iterdir())


def test_a_server_that_drips_is_cut_off_in_time_and_leaves_nothing(
    server: Served, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content, server.drip = bytes(1000), True  # 20 s at this pace
    monkeypatch.setattr(published, "LIMIT", 1.0)
    (note,) = fetch()
    assert "more than 1 s" in note  # the whole file would have another hash
    assert server.asked == 1 and not list(hub.iterdir())


def test_more_bytes_than_weights_have_are_refused(
    server: Served, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = bytes(2000)
    monkeypatch.setattr(published, "LARGEST", 1000)
    (note,) = fetch()
    assert "more than 1000 bytes" in note
    assert not list(hub.iterdir())


def test_what_is_not_there_gives_one_note(
    server: Served, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lpips", reason="lpips is what AlexNet's weights are for")
    monkeypatch.setattr(published, "alexnet_address", lambda: "http://127.0.0.1:9/nobody.pth")
    (note,) = published.fetch_published("auto", ["lpips", "fid"], lambda _: None)
    assert "404" in note and "refused" in note
    assert str(hub) not in note and not list(hub.iterdir())


def test_a_folder_that_cannot_be_written_is_a_note(
    server: Served, hub: Path, tmp_path: Path
) -> None:
    (tmp_path / "hub").write_text("a file in the folder's place")
    (note,) = fetch()
    assert optional.INCEPTION in note and str(tmp_path) not in note


@pytest.mark.parametrize("section", ["evaluate_generator", "evaluate_restorer"])
def test_another_word_than_present_or_auto_is_refused(
    root: Path, tmp_path: Path, section: str
) -> None:
    text = (root / "params.yaml").read_text().replace("weights: present", "weights: fetch")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(
        params.ParamsError, match=rf"{section}.published_weights: must be 'present'"
    ):
        params.load(section, SECTIONS[section], tmp_path / "params.yaml")


def test_the_libraries_name_the_files_that_are_looked_for() -> None:
    assert published.inception_address().endswith("/" + optional.INCEPTION)
    assert published.alexnet_address().endswith("/" + optional.ALEXNET)


@pytest.fixture
def random_inception(hub: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put Inception of random weights, scaled so that features do not vanish, into the folder."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.manual_seed(0)
    hub.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        saved({}, hub / "any.pth")
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(hub / "any.pth")
        )
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    content = saved(network.state_dict(), hub / "any.pth")
    return (hub / "any.pth").rename(hub / named_for(content, monkeypatch))


def test_our_inception_fid_is_torch_fidelitys_own(random_inception: Path, tmp_path: Path) -> None:
    from torch_fidelity import calculate_metrics

    generator = np.random.default_rng(0)
    folders, features = [], []
    extractor, _ = optional.inception_extractor(torch.device("cpu"))
    assert extractor is not None
    for name, least in (("dark", 0), ("bright", 60)):
        images = generator.integers(least, 196 + least, (8, 40, 48, 3), dtype=np.uint8)
        (tmp_path / name).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{number}.png")
        folders.append(str(tmp_path / name))
        features.append(extractor(images))
    theirs = calculate_metrics(
        input1=folders[0], input2=folders[1], fid=True, cuda=False, save_cpu_ram=True,
        feature_extractor_weights_path=str(random_inception), cache=False, verbose=False,
    )  # fmt: skip
    ours = frechet_distance_of_features(*features)
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-3)
