"""Claims about figures whose weights may be absent: used when real, never replaced in silence."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import alexnet

from remint.metrics import optional


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_absent_weights_are_a_note_and_no_figure(hub: Path) -> None:
    for make in (optional.lpips_distance, optional.inception_extractor):
        found, note = make(torch.device("cpu"))
        assert found is None
        assert "is absent" in note
        assert str(hub) not in note


def test_a_file_with_the_right_name_and_other_content_does_not_pass(hub: Path) -> None:
    (hub / optional.INCEPTION).write_bytes(b"something else")
    found, note = optional.inception_extractor(torch.device("cpu"))
    assert found is None
    assert "right content" in note


@pytest.mark.filterwarnings("ignore::UserWarning")  # lpips calls torchvision by an old signature
def test_lpips_runs_on_alexnet_weights_that_lie_on_the_disk(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    torch.save(alexnet().state_dict(), hub / "weights.pth")
    digest = hashlib.sha256((hub / "weights.pth").read_bytes()).hexdigest()[:8]
    (hub / "weights.pth").rename(hub / f"alexnet-owt-{digest}.pth")
    monkeypatch.setattr(optional, "ALEXNET", f"alexnet-owt-{digest}.pth")
    (hub / "alexnet-owt-7be5be79.pth").symlink_to(hub / f"alexnet-owt-{digest}.pth")
    distance, _ = optional.lpips_distance(torch.device("cpu"))
    assert distance is not None
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 1), dtype=np.uint8)
    assert distance(image, image) == pytest.approx(0.0, abs=1e-6)
    assert distance(image, 255 - image) > 0.0
    assert np.isnan(distance(image[:16], image[:16]))
