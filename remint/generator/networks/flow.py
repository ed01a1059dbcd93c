"""The network of flow matching: image, time and class in, velocity out; sampling, and its rival.

A U-Net of plain residual blocks on the folded image (pixel-unshuffle by 2), two levels, without
normalisation; time and class scale and shift each block (FiLM, arXiv 1709.07871). Its half on the
way in, with a line at the end, is the discriminator of adversarial flow.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

Solver = Literal["adams", "heun"]

CODE = 128  # width of the code of time and class
FREQUENCIES = 32
FOLD = 2
SMALLEST_SIDE = 2 * FOLD  # sides are multiples of it
BLOCKS = (1, 4, 2)  # on the way in, at the low resolution, on the way out
TENTH = 0.1  # scale of a block's second convolution at the start
MARGIN = 0.1  # in [-1, 1] units
# The last step's share of the time. Straight on it leads to the mean of all images that may come of
# what is there; small steps leave faint noise (as in scores: arXiv 2009.05475, section 3.4)
ENDING = 0.2


def with_margin(image: torch.Tensor) -> torch.Tensor:
    """Move pixels at -1 and 1 out by MARGIN, which the clamp at the end of sampling takes back.

    An integrated image is off by a few levels everywhere: between black and black with a margin
    that is clamped away, without one a ground that is black in every image becomes faint noise.
    """
    whiter = torch.where(image >= 1, 1 + MARGIN, image)
    return torch.where(image <= -1, -1 - MARGIN, whiter)


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


class CodedTrunk(nn.Module):
    """The way in: images N,C,S,S and a code to both levels; S: a multiple of 4."""

    def __init__(self, channels: int, size: int, classes: int, width: int) -> None:
        super().__init__()
        if size % SMALLEST_SIDE:
            raise ValueError(
                f"size: found images of {size} px, needed a multiple of {SMALLEST_SIDE} for flow; "
                "set ingest.size to the nearest one"
            )
        self.shape, self.classes = (channels, size, size), classes
        folded, wide = channels * FOLD**2, 2 * width
        self.code = TimeAndClass(classes)
        self.beginning = nn.Conv2d(folded, width, 3, padding=1)
        self.before = nn.ModuleList(CodedBlock(width) for _ in range(BLOCKS[0]))
        self.down = nn.Conv2d(width, wide, 2, stride=2)
        self.low = nn.ModuleList(CodedBlock(wide) for _ in range(BLOCKS[1]))

    def inward(self, x: torch.Tensor, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features [N, width, S/2, S/2] and [N, 2 width, S/4, S/4]."""
        h = self.beginning(F.pixel_unshuffle(x, FOLD))
        for block in self.before:
            h = block(h, code)
        low = self.down(h)
        for block in self.low:
            low = block(low, code)
        return h, low


class FlowGenerator(CodedTrunk):
    """Noise N,C,S,S and labels to images N,C,S,S in about [-1, 1], by integrating the velocity.

    width: of the folded image's level; the lower level has twice as many. steps: of the solver;
    adams calls the network once a step, heun 2 * steps - 1 times in all. guidance g: the velocity
    is g times the class's less g - 1 times that without a class, in two calls (1: one call).
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        width: int,
        steps: int,
        guidance: float,
        solver: Solver,
    ) -> None:
        super().__init__(channels, size, classes, width)
        self.steps, self.guidance, self.solver = steps, guidance, solver
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.after = nn.ModuleList(CodedBlock(width) for _ in range(BLOCKS[2]))
        self.ending = nn.Conv2d(width, channels * FOLD**2, 3, padding=1)
        nn.init.zeros_(self.ending.weight)
        nn.init.zeros_(self.ending.bias)  # type: ignore[arg-type]

    def velocity(self, x: torch.Tensor, times: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the velocity N,C,S,S at x and times [N]; label `classes` stands for none."""
        code = self.code(times, labels)
        h, low = self.inward(x, code)
        h = h + self.up(low)
        for block in self.after:
            h = block(h, code)
        return F.pixel_shuffle(self.ending(h), FOLD)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = z.view(-1, *self.shape)
        if self.solver == "adams":
            return self._adams(x, labels).clamp(-1, 1)
        for step in range(self.steps):
            x = self._heun(x, labels, step / self.steps, (step + 1) / self.steps)
        return x.clamp(-1, 1)

    def _adams(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Predict by two slopes, correct by the trapezoid; each slope is taken where it predicts.

        Adams, Bashforth and Moulton's second-order pair as PEC: one call a step where Heun's method
        takes two (Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, III.1). What
        is left of the time at ENDING is one straight step.
        """
        slope = self._guided(x, 0.0, labels)
        if self.steps == 1:
            return x + slope
        length = (1 - ENDING) / (self.steps - 1)
        ahead = x + length * slope
        for step in range(1, self.steps):
            new = self._guided(ahead, step * length, labels)
            x = x + length * 0.5 * (slope + new)
            ahead = x + length * (1.5 * new - 0.5 * slope)
            slope = new
        return x + ENDING * slope

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


class JumpGenerator(FlowGenerator):
    """The same network, sampled by `steps` jumps of equal length in time: one call a jump."""

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = z.view(-1, *self.shape)
        for step in range(self.steps):
            x = self.jump(x, x.new_full((x.shape[0],), step / self.steps), labels)
        return x.clamp(-1, 1)

    def jump(self, x: torch.Tensor, times: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return float32 N,C,S,S at times + 1 / steps."""
        return x + self.velocity(x, times, labels).float() / self.steps


class JumpDiscriminator(CodedTrunk):
    """Images on their way, their times and labels to logits [N]; without times, finished ones."""

    def __init__(self, channels: int, size: int, classes: int, width: int) -> None:
        super().__init__(channels, size, classes, width)
        self.head = nn.Linear(2 * width, 1)

    def begin_from(self, generator: CodedTrunk) -> None:
        """Take the generator's way in: features of images on their way, before the game starts."""
        own = self.state_dict()
        shared = {name: t for name, t in generator.state_dict().items() if name in own}
        self.load_state_dict({**own, **shared})

    def levels(self) -> list[nn.Module]:
        """Return what is trained of each resolution, from the image on."""
        return [
            nn.ModuleList([self.beginning, self.before]),
            nn.ModuleList([self.down, self.low]),
        ]

    def forward(
        self, x: torch.Tensor, labels: torch.Tensor, times: torch.Tensor | None = None
    ) -> torch.Tensor:
        times = x.new_ones(x.shape[0]) if times is None else times
        _, low = self.inward(x, self.code(times, labels))
        return self.head(F.relu(low).mean(dim=(2, 3))).squeeze(1)
