"""What all tests share: nothing phones home, nothing is written into the checkout."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.update(
    {
        "DO_NOT_TRACK": "true",
        "DVC_NO_ANALYTICS": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes that no test asks for
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # read while prefect is imported: the temporary server is slow on a small machine
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "900",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
)

import pytest

from tests.processes import Spawner, ended_after

IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "tester"), ("EMAIL", "tester@localhost"))
}


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Send every store that a test may open without saying so to a temporary folder."""
    home = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
        patch.setenv("DVC_SITE_CACHE_DIR", str(home / "dvc"))
        patch.setenv("PREFECT_HOME", str(home / "prefect"))
        for name, value in IDENTITY.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(autouse=True)
def returned() -> Iterator[None]:
    """Refuse a test that leaves its process in another folder: the next one would fail for it."""
    before = Path.cwd()
    yield
    after = Path.cwd()
    os.chdir(before)
    assert after == before, f"left in {after}: use monkeypatch.chdir"


@pytest.fixture
def spawn() -> Iterator[Spawner]:
    """Start processes that end with the test, they and all that they started."""
    yield from ended_after()


def pytest_configure() -> None:
    """Let Ctrl-C and SIGHUP reach what tests start also in a shell's background and under nohup.

    There they are ignored, which a new process inherits; a signal that is handled it does not.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none; begin with the files that take long.

    Files are shared out in this order: one that takes long, begun last, would be waited for alone.
    """
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
