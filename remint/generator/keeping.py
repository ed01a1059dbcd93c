"""Snapshots of a generator in training: scored at their interval, the best one kept on disk."""

import json
from collections.abc import Mapping
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
    """Scores snapshots at their interval and keeps the best one on disk, its score with it.

    The best is the one of the lowest criterion among those without a sign of failure, `sound` 1 in
    its score; while there is none, the lowest of all. diversity: the highest of an earlier stage.
    """

    def __init__(
        self, folder: Path, snapshots: SnapshotScores, minter: Minter, diversity: float = 0.0
    ) -> None:
        self.folder, self.snapshots, self.minter = folder, snapshots, minter
        self.diversity = diversity
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
        failed = self.snapshots.failure(self.figures, self.most_diverse)
        score = {"images": progress.images, **self.figures, "sound": float(not failed)}
        self.scores = [*earlier, score]
        criterion = self.snapshots.criterion
        better = not self.best or ranked(score, criterion) <= ranked(self.best, criterion)
        self.best = score if better else self.best
        if rank() == 0:
            if better:
                save_network(self.folder / BEST, self.minter.network, json.dumps(score))
            with replaced_file(self.folder / "snapshots.json") as path:
                path.write_text(json.dumps(self.scores, indent=1))

    def failure(self) -> str | None:
        """Look before a checkpoint is kept as good, and say what is wrong."""
        return self.snapshots.failure(self.snapshots.signs(self.minter), self.most_diverse)

    @property
    def most_diverse(self) -> float:
        """The highest diversity_ratio so far, of an earlier stage too."""
        return max([self.diversity, *(score["diversity_ratio"] for score in self.scores)])


def ranked(score: Mapping[str, float], criterion: str) -> tuple[bool, float]:
    """Return what is lowest for the best snapshot: sound ones first, then by the criterion."""
    return score.get("sound", 1.0) == 0.0, score[criterion]
