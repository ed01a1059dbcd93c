"""What a training leaves behind while it goes on: lines, curves and sample grids."""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from remint.core.atomic import replaced_file
from remint.training.progress import Progress
from tasks.stage.console import say
from tasks.tracking.runs import Run

UNFINISHED = "checkpoints"  # folder inside a model's, where a run that is not finished lies


class TrainingLog:
    """history.csv and samples/ in a folder, the same in MLflow, and a line or a bar for people."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.folder, self.run = folder, run
        self.bar = tqdm(unit=" images", disable=not sys.stderr.isatty(), leave=False)
        path = folder / "history.csv"
        self.history = pd.read_csv(path) if path.exists() else pd.DataFrame()
        self.told = ("", -1)
        (folder / "samples").mkdir(parents=True, exist_ok=True)

    def row(self, stage: str, step: int, progress: Progress, values: Mapping[str, float]) -> None:
        """Add a row to the curves; rows that a resumed run writes again are replaced.

        step: images seen over all stages, so that their curves follow one another.
        """
        self.run.metrics({f"{stage}/{name}": value for name, value in values.items()}, step)
        row = {"images": step, "minutes": progress.minutes, "stage": stage, **values}
        kept = self.history[self.history["images"] < step] if len(self.history) else self.history
        self.history = pd.concat([kept, pd.DataFrame([row])], ignore_index=True)
        with replaced_file(self.folder / "history.csv") as path:
            self.history.to_csv(path, index=False, float_format="%.6g")

    def picture(self, grid: np.ndarray, step: int) -> None:
        """Keep a sample grid, uint8 HWC."""
        self.run.image("samples", grid, step)
        picture = Image.fromarray(grid.squeeze(2) if grid.shape[2] == 1 else grid)
        picture.save(self.folder / "samples" / f"{step:09d}.png")

    def tell(self, stage: str, progress: Progress, total: int | None, figures: str) -> None:
        """Move the bar on a terminal; print a line in a log, and at the end of a stage."""
        self.bar.total = total
        self.bar.set_description(stage)
        self.bar.update(progress.images - self.bar.n)
        last, self.told = self.told, (stage, progress.images)
        if self.told != last and (self.bar.disable or progress.finished):
            say(f"{stage}: {progress.images:,} images, {progress.minutes:.1f} min, {figures}")

    def close(self) -> None:
        """Take the bar off the terminal."""
        self.bar.close()
