"""The network of flow matching: image, time and class in, velocity out; sampling by Heun's method.

A U-Net of plain residual blocks on the folded image (pixel-unshuffle by 2), two levels, without
normalisation; time and class scale and shift each block (FiLM, arXiv 1709.07871).
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

CODE = 128  # width of the code of time and class
FREQUENCIES = 32
FOLD = 2
SMALLEST_SIDE = 2 * FOLD  # sides are multiples of it
BLOCKS = (1, 4, 2)  # on the way in, at the low resolution, on the way out
TENTH = 0.1  # scale of a block's second convolution at the start


class TimeAndClass(nn.Module):
    """times float32 [N] in 0..1 and labels int64 [N] to a code [N, CODE]; label K is no class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes + 1, CODE)
        self.times = nn.Linear(2 * FREQUENCIES, CODE)
        self.mix = nn.Linear(CODE, CODE)

    def forward(self, times: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        octaves = torch.arange(FREQUENCIES, device=times.device) / FREQUENCIES
        angles = times[:, None] * (math.tau * 32**octaves)
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        return F.relu(self.mix(F.relu(self.times(waves) + self.embedding(labels))))


class CodedBlock(nn.Module):
    """x + conv(relu(scale * conv(x) + shift)); scale and shift follow from the code."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(CODE, 2 * width)
        with torch.no_grad():
            self.second.weight.mul_(TENTH)

    def forward(self, x: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        scale, shift = self.film(code)[:, :, None, None].chunk(2, dim=1)
        return x + self.second(F.relu(self.first(x) * (1 + scale) + shift))


class FlowGenerator(nn.Module):
    """Noise N,C,S,S and labels to images N,C,S,S in about [-1, 1], by integrating the velocity.

    S: a multiple of 4. width: of the folded image's level; the lower level has twice as many.
    steps: of Heun's method, 2 * steps - 1 calls of the network an image; guidance g: the velocity
    is g times the class's less g - 1 times that without a class, in two calls (1: one call).
    """

    def __init__(
        self, channels: int, size: int, classes: int, width: int, steps: int, guidance: float
    ) -> None:
        super().__init__()
        if size % SMALLEST_SIDE:
            raise ValueError(
                f"size: found images of {size} px, needed a multiple of {SMALLEST_SIDE} for flow; "
                "set ingest.size to the nearest one"
            )
        self.shape, self.classes = (channels, size, size), classes
        self.steps, self.guidance = steps, guidance
        folded, wide = channels * FOLD**2, 2 * width
        before, low, after = BLOCKS
        self.code = TimeAndClass(classes)
        self.beginning = nn.Conv2d(folded, width, 3, padding=1)
        self.before = nn.ModuleList(CodedBlock(width) for _ in range(before))
        self.down = nn.Conv2d(width, wide, 2, stride=2)
        self.low = nn.ModuleList(CodedBlock(wide) for _ in range(low))
        self.up = nn.ConvTranspose2d(wide, width, 2, stride=2)
        self.after = nn.ModuleList(CodedBlock(width) for _ in range(after))
        self.ending = nn.Conv2d(width, folded, 3, padding=1)
        nn.init.zeros_(self.ending.weight)
        nn.init.zeros_(self.ending.bias)  # type: ignore[arg-type]

    def velocity(self, x: torch.Tensor, times: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the velocity N,C,S,S at x and times [N]; label `classes` stands for none."""
        code = self.code(times, labels)
        h = self.beginning(F.pixel_unshuffle(x, FOLD))
        for block in self.before:
            h = block(h, code)
        low = self.down(h)
        for block in self.low:
            low = block(low, code)
        h = h + self.up(low)
        for block in self.after:
            h = block(h, code)
        return F.pixel_shuffle(self.ending(h), FOLD)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = z.view(-1, *self.shape)
        for step in range(self.steps):
            x = self._heun(x, labels, step / self.steps, (step + 1) / self.steps)
        return x.clamp(-1, 1)

    def _heun(self, x: torch.Tensor, labels: torch.Tensor, now: float, then: float) -> torch.Tensor:
        """One step of Heun's method from time `now` to `then`; the last one is Euler's."""
        slope = self._guided(x, now, labels)
        ahead = x + (then - now) * slope
        if then >= 1.0:
            return ahead
        return x + 0.5 * (then - now) * (slope + self._guided(ahead, then, labels))

    def _guided(self, x: torch.Tensor, time: float, labels: torch.Tensor) -> torch.Tensor:
        """Return the velocity under classifier-free guidance (arXiv 2207.12598, equation 6)."""
        times = x.new_full((x.shape[0],), time)
        velocity = self.velocity(x, times, labels).float()
        if self.guidance == 1.0:
            return velocity
        free = self.velocity(x, times, torch.full_like(labels, self.classes)).float()
        return free + self.guidance * (velocity - free)
