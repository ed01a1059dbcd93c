"""Snapshots of a generator in training: scored at their interval, the best one kept on disk."""

import json
from pathlib import Path
from typing import Any

from remint.core.atomic import replaced_file
from remint.generator.generator import Minter
from remint.generator.selection import SnapshotScores
from remint.networks.weights import network_note, save_network
from remint.training.distributed import rank
from remint.training.progress import Progress

BEST = "best.safetensors"


class Keeper:
    """Scores snapshots at their interval and keeps the best one on disk, its score with it."""

    def __init__(self, folder: Path, snapshots: SnapshotScores, minter: Minter) -> None:
        self.folder, self.snapshots, self.minter = folder, snapshots, minter
        self.figures: dict[str, float] = {}
        self.seen = -1
        path = folder / "snapshots.json"
        self.scores: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        self.best: dict[str, float] = json.loads(network_note(folder / BEST) or "{}")

    def note(self, progress: Progress) -> None:
        """Look if it is time, and keep the snapshot where it is the best so far.

        What a killed or rolled back run saw of images to come is forgotten; the best is not.
        """
        self.scores = [score for score in self.scores if score["images"] <= progress.images]
        earlier = [score for score in self.scores if score["images"] < progress.images]
        every, last = self.snapshots.config.every, earlier[-1]["images"] if earlier else 0
        due = progress.finished or progress.images // every > last // every
        if not due or progress.note or progress.images == self.seen:
            return
        self.seen = progress.images
        self.figures = self.snapshots.score(self.minter)
        score = {"images": progress.images, **self.figures}
        self.scores = [*earlier, score]
        criterion = self.snapshots.criterion
        better = not self.best or (score[criterion] <= self.best[criterion] and not self.failure())
        self.best = score if better else self.best
        if rank() == 0:
            if better:
                save_network(self.folder / BEST, self.minter.network, json.dumps(score))
            with replaced_file(self.folder / "snapshots.json") as path:
                path.write_text(json.dumps(self.scores, indent=1))

    def failure(self) -> str | None:
        """Look before a checkpoint is kept as good, and say what is wrong."""
        most = max((score["diversity_ratio"] for score in self.scores), default=0.0)
        return self.snapshots.failure(self.snapshots.signs(self.minter), most)
