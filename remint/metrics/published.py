"""Published weights, fetched once into torch's hub folder from where their libraries name them.

A file is put in place when it is whole, has the hash of its name and holds tensors alone. DINOv2 is
not among them: its library is code that would be fetched, too.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Literal

import torch

from remint.core.atomic import replaced_file
from remint.metrics import download, optional

PublishedWeights = Literal["present", "auto"]

LIMIT = 300.0  # s for all files of a stage together; a 10 Mbit/s line takes 270 s for both
LARGEST = 500_000_000  # bytes of one file


def fetch_published(
    setting: PublishedWeights, figures: Iterable[str], tell: Callable[[str], None]
) -> list[str]:
    """Fetch the weights of some figures ("fid", "lpips") where the setting is `auto`.

    Files that lie in torch's hub folder, and those whose library is not installed, are not asked
    for. tell: is told what is being fetched. Returns one note where something did not come, else
    none; whatever goes wrong with a network or a disk, nothing is raised.
    """
    if setting == "present":
        return []
    deadline = time.monotonic() + LIMIT
    reasons = []
    for figure in figures:
        library, file, address = _source(figure)
        if find_spec(library) is None or optional.hub_file(file) is not None:
            continue
        tell(f"fetching {file}")
        try:
            _fetch(address(), file, deadline - time.monotonic())
        except (OSError, ValueError) as error:
            reasons.append(f"{file}: {getattr(error, 'strerror', None) or error}")
    return [f"Published weights were not fetched. {'; '.join(reasons)}."] if reasons else []


def inception_address() -> str:
    """Return the address that the installed torch-fidelity names."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return str(URL_INCEPTION_V3)


def alexnet_address() -> str:
    """Return the address that the installed torchvision names, from which lpips takes AlexNet."""
    from torchvision.models import AlexNet_Weights

    return str(AlexNet_Weights.IMAGENET1K_V1.url)


def _source(figure: str) -> tuple[str, str, Callable[[], str]]:
    if figure == "fid":
        return "torch_fidelity", optional.INCEPTION, inception_address
    return "lpips", optional.ALEXNET, alexnet_address


def _fetch(address: str, file: str, seconds: float) -> None:
    target = optional.hub_path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(target) as partial:
        _download(address, str(partial), seconds)
        if not optional.has_hash(partial, file):
            raise ValueError("what came has another hash than its name says")
        try:
            torch.load(partial, map_location="cpu", weights_only=True)
        except Exception:  # what is no weights file fails in many ways
            raise ValueError("what came holds more than weights, or none") from None


def _download(address: str, path: str, seconds: float) -> None:
    if seconds <= 0:
        raise ValueError(f"no time was left of {LIMIT:g} s")
    order = [sys.executable, "-I", download.__file__, address, path, str(seconds), str(LARGEST)]
    ended = subprocess.run(order, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if ended.returncode == -signal.SIGALRM:
        raise ValueError(f"it took more than {LIMIT:g} s")
    if ended.returncode:
        raise ValueError(ended.stderr.strip().rpartition("\n")[2] or "the download was ended")
