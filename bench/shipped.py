"""What the restorers that come with the package do: `python -m bench.shipped [--picture FILE]`.

Three photographs with different damage go through `remint restore`, each in a process of its own,
as a user would start it; printed are seconds, PSNR and what the map of doubt covers. The picture
shows damaged, restored, the map (5 times as bright) and original side by side. Photographs, all
from scikit-image's wheel: astronaut (NASA, public domain), coffee (Rachel Michetti, CC0), chelsea
(Stefan van der Walt, CC0); the models saw none in training.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from remint.core.randomness import generator
from remint.corruptions.registry import corrupt
from remint.metrics.pixels import psnr_score
from remint.restorer.doubt import errors_of, most_doubtful

Photograph = Callable[[], np.ndarray]
CASES = (
    (data.coffee, (60, 180), "sensor_noise", 5),
    (data.astronaut, (0, 80), "shared_jpeg", 4.6),
    (data.chelsea, (20, 100), "plain_noise", 4),
)
SIDE = 256
BRIGHTER = 5  # the map is drawn so many times as bright as `remint restore --doubt` writes it


def main() -> None:
    """Restore the three photographs; see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, help="where to draw them side by side, PNG")
    given = parser.parse_args()
    rows = [_row(*case) for case in CASES]
    if given.picture:
        Image.fromarray(np.vstack(rows)).save(given.picture, optimize=True)


def _row(
    photograph: Callable[[], np.ndarray], corner: tuple[int, int], kind: str, severity: float
) -> np.ndarray:
    """Return uint8 [SIDE, 4 SIDE, 3]: damaged, restored, map of doubt, original."""
    top, left = corner
    clean = photograph()[top : top + SIDE, left : left + SIDE]
    damaged = corrupt(clean, kind, severity, generator(0, "bench", kind)).image
    restored, doubt, seconds = _restored(damaged)
    before, after = psnr_score(damaged, clean), psnr_score(restored, clean)
    covered = (errors_of(restored, clean) <= doubt)[most_doubtful(doubt.astype(np.float32))].mean()
    name = getattr(photograph, "__name__", "")
    print(
        f"{name:10} {kind:13} {before:.2f} -> {after:.2f} dB, {seconds:.1f} s with the start, "
        f"{covered:.0%} of the most doubtful quarter within the map"
    )
    drawn = np.minimum(doubt.astype(np.uint16) * BRIGHTER, 255).astype(np.uint8)
    return np.hstack([damaged, restored, np.repeat(drawn[..., None], 3, axis=2), clean])


def _restored(damaged: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the restored picture, its map of doubt, and the seconds that both took."""
    with tempfile.TemporaryDirectory() as folder:  # no model of one's own lies there
        Image.fromarray(damaged).save(Path(folder) / "in.png")
        command = [sys.executable, "-m", "tasks.commands.cli", "restore", "in.png", "out.png"]
        start = time.perf_counter()
        subprocess.run([*command, "--doubt"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        restored, doubt = (
            np.asarray(Image.open(Path(folder) / name)) for name in ("out.png", "out.png.doubt.png")
        )
        return restored, doubt, seconds


if __name__ == "__main__":
    main()
