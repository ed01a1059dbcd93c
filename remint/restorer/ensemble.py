"""The x8 self-ensemble: a picture is restored in all eight of its turns and flips.

Timofte et al., "Seven ways to improve example-based single image super resolution" (CVPR 2016,
section 3.6, enhanced prediction); Lim et al., EDSR (arXiv 1707.02921, section 3.4). It takes eight
times as long, and figures made with it say so.
"""

from itertools import product

import torch

from remint.restorer.tiling import Network

PASSES = 8
NOTE = f"x{PASSES} self-ensemble: each restored image is the mean over its eight turns and flips"
PLANE = (-2, -1)


class SelfEnsemble:
    """A network like `inner`, whose answer is the mean over the eight symmetries of the square."""

    def __init__(self, inner: Network) -> None:
        self.inner, self.channels = inner, inner.channels

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Map float [N, C, H, W] to the same shape: each turned answer is turned back."""
        total = torch.zeros_like(batch)
        for turns, mirrored in product(range(4), (False, True)):
            given = torch.rot90(batch.flip(-1) if mirrored else batch, turns, PLANE)
            answer = torch.rot90(self.inner(given), -turns, PLANE)
            total += answer.flip(-1) if mirrored else answer
        return total / PASSES


def ensembled(network: Network, wanted: bool) -> Network:
    """Return `network`, as its self-ensemble where that is wanted."""
    return SelfEnsemble(network) if wanted else network
