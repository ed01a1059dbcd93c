"""Counter-based randomness: every draw is a function of (seed, stage, key, draw).

Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) keyed by a hash, so
that worker count, order of work and resume point cannot change what is drawn.
"""

import hashlib

import numpy as np

# Of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014,
# figure 15): between two states; shift and factor of both rounds that mix one
GOLDEN = 0x9E3779B97F4A7C15
MIXES = (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)


def philox_key(seed: int, stage: str, key: str, draw: int = 0) -> int:
    """Return the 128-bit Philox key of a stream; equal arguments give the equal key."""
    text = f"{seed}\x1f{stage}\x1f{key}\x1f{draw}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(seed: int, stage: str, key: str, draw: int = 0) -> np.random.Generator:
    """Return the generator of the stream named by the arguments.

    seed: the run's seed; stage: who draws ("corrupt", "crops", ...); key: usually an image id;
    draw: the how-manieth draw for that key.
    """
    return np.random.Generator(np.random.Philox(key=philox_key(seed, stage, key, draw)))


def counter_key(seed: int, stage: str) -> int:
    """Return the 64-bit state before the first draw of a stage."""
    return philox_key(seed, stage, "counter") & 0xFFFFFFFFFFFFFFFF


def counter_uniform(seed: int, stage: str, counters: np.ndarray, lanes: int) -> np.ndarray:
    """Return float64 [len(counters), lanes] in [0, 1): row i depends on counters[i] alone.

    SplitMix64, vectorised: for many small draws such as crops and flips.
    """
    start = np.uint64(counter_key(seed, stage))
    index = counters.astype(np.uint64)[:, None] * np.uint64(lanes) + np.arange(
        lanes, dtype=np.uint64
    )
    with np.errstate(over="ignore"):
        z: np.ndarray = start + (index + np.uint64(1)) * np.uint64(GOLDEN)
        for shift, factor in MIXES:
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
