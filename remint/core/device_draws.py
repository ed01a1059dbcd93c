"""Counter-based draws made by the device that wants them, equal to those of `counter_uniform`."""

import torch

from remint.core.randomness import GOLDEN, MIXES, counter_key


def device_uniform(seed: int, stage: str, counters: torch.Tensor, lanes: int) -> torch.Tensor:
    """Return float64 [N, lanes] in [0, 1) on the device of the counters, int64 [N].

    SplitMix64 on int64, whose products wrap as those of uint64 do.
    """
    lane = torch.arange(1, lanes + 1, device=counters.device)
    z = (counters[:, None] * lanes + lane) * _signed(GOLDEN) + _signed(counter_key(seed, stage))
    for shift, factor in MIXES:
        z = (z ^ _shifted(z, shift)) * _signed(factor)
    z = z ^ _shifted(z, 31)
    return _shifted(z, 11).double() * 2.0**-53


def device_normal(seed: int, stage: str, counters: torch.Tensor, lanes: int) -> torch.Tensor:
    """Return float32 [N, lanes] from N(0, 1): the quantiles of `device_uniform`'s draws."""
    return torch.special.ndtri(device_uniform(seed, stage, counters, lanes) + 2.0**-54).float()


def _shifted(z: torch.Tensor, bits: int) -> torch.Tensor:
    """Return the logical shift to the right, which leaves no copies of the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _signed(number: int) -> int:
    """Return the int64 of the same 64 bits."""
    return number - (1 << 64) if number >> 63 else number
