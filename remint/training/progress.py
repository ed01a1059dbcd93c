"""Where a run stands: images, minutes, means of the figures since the last report."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch

from remint.training.distributed import agree_max


@dataclass
class Progress:
    """Where a run stands; losses are means since the last report."""

    images: int = 0
    minutes: float = 0.0
    rate_scale: float = 1.0
    rollbacks: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    sample_due: bool = False
    finished: bool = False
    note: str | None = None


class Window:
    """Means of the figures since the last report; start: images seen at that report."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.rounds = self.start = 0

    def add(self, values: dict[str, float]) -> None:
        self.rounds += 1
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def close(self, images: int) -> dict[str, float]:
        """Return the means, and begin the next window after so many images."""
        means = {name: total / self.rounds for name, total in self.sums.items()}
        self.sums, self.rounds, self.start = {}, 0, images
        return means

    def state(self) -> dict[str, Any]:
        return {"sums": dict(self.sums), "rounds": self.rounds, "start": self.start}

    def load(self, state: dict[str, Any]) -> None:
        self.sums, self.rounds = dict(state["sums"]), state["rounds"]
        self.start = state["start"]


class Clock:
    """Minutes spent, over all the runs of this training; equal in all processes."""

    def __init__(self, minutes: float, device: torch.device) -> None:
        self.start = time.monotonic() - 60.0 * minutes
        self.device = device

    def minutes(self) -> float:
        return agree_max((time.monotonic() - self.start) / 60.0, self.device)

    def agree(self, reason: str | None) -> str | None:
        if not math.isclose(agree_max(float(reason is not None), self.device), 1.0):
            return None
        return reason or "another process was asked to stop"
