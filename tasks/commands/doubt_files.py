"""Maps of doubt by `--doubt`: a grey PNG beside each picture, v meaning v levels of 255."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from remint.core.atomic import replaced_file
from remint.restorer.doubt import Doubt
from tasks.commands.plans import RestoreJob

Keep = Callable[[np.ndarray, np.ndarray], None]  # given and restored pixels of a page


def beside(target: Path) -> Path:
    """Return where the map of a restored picture lies: a.jpg has a.jpg.doubt.png.

    The whole name is kept, since a.png may lie in the same folder.
    """
    return target.with_name(f"{target.name}.doubt.png")


def apart(jobs: Sequence[RestoreJob], failures: list[str]) -> list[RestoreJob]:
    """Return the jobs whose maps lie in no other picture's place; `failures` has the others."""
    targets = {job.target for job in jobs}
    clashing = [job for job in jobs if beside(job.target) in targets]
    failures += [
        f"{job.name}: its map of doubt would lie where another picture goes, "
        f"{beside(job.target).name}; rename one"
        for job in clashing
    ]
    return [job for job in jobs if job not in clashing]


@contextmanager
def maps(doubt: Doubt | None, target: Path) -> Iterator[Keep]:
    """Yield what takes the pages of a picture; write their maps when the block ends well.

    Upright, as the pictures are shown. Pages of one file stand below one another, as a map has no
    pages. Nothing is kept or written where `doubt` is None.
    """
    pages: list[np.ndarray] = []

    def keep(given: np.ndarray, restored: np.ndarray) -> None:
        if doubt is not None:
            pages.append(doubt.map_of(given, restored))

    yield keep
    if pages:
        with replaced_file(beside(target)) as path:
            Image.fromarray(_stacked(pages)).save(path, "PNG")


def _stacked(pages: list[np.ndarray]) -> np.ndarray:
    width = max(page.shape[1] for page in pages)
    return np.concatenate([np.pad(page, ((0, 0), (0, width - page.shape[1]))) for page in pages])
