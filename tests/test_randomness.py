"""Claims about counter-based randomness."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from remint.core.device_draws import device_normal, device_uniform
from remint.core.randomness import counter_uniform, generator


@given(seed=st.integers(0, 2**40), key=st.text(), draw=st.integers(0, 1000))
def test_the_same_names_give_the_same_stream(seed: int, key: str, draw: int) -> None:
    first, second = (generator(seed, "corrupt", key, draw).random(4) for _ in range(2))
    assert (first == second).all()


def test_every_part_of_the_name_matters() -> None:
    names = [(0, "a", "b", 0), (1, "a", "b", 0), (0, "x", "b", 0), (0, "a", "c", 0)]
    names += [(0, "a", "b", 1)]
    assert len({generator(*name).random() for name in names}) == len(names)


def test_neighbouring_parts_can_not_be_confused() -> None:
    assert generator(1, "1a", "b").random() != generator(11, "a", "b").random()


@given(first=st.integers(0, 10**9), count=st.integers(1, 50))
def test_a_counter_gives_its_row_whatever_is_asked_for_with_it(first: int, count: int) -> None:
    whole = counter_uniform(3, "crops", np.arange(first, first + count), 5)
    alone = counter_uniform(3, "crops", np.array([first + count - 1]), 5)
    assert (whole[-1] == alone[0]).all()


def test_counter_draws_are_uniform_and_unrelated() -> None:
    draws = counter_uniform(0, "crops", np.arange(20_000), 4)
    assert (draws >= 0).all() and (draws < 1).all()
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert abs(counts / 4000 - 1).max() < 0.08
    assert abs(np.corrcoef(draws.T) - np.eye(4)).max() < 0.03
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.03


@given(seed=st.integers(0, 2**40), first=st.integers(0, 2**40), lanes=st.integers(1, 7))
def test_a_device_draws_what_the_cpu_draws(seed: int, first: int, lanes: int) -> None:
    counters = np.arange(first, first + 9)
    drawn = device_uniform(seed, "latent-g", torch.from_numpy(counters), lanes)
    expected = counter_uniform(seed, "latent-g", counters, lanes)
    assert (drawn.numpy() == expected).all()
    normal = device_normal(seed, "latent-g", torch.from_numpy(counters), lanes).numpy()
    assert np.allclose(normal, ndtri(expected + 2.0**-54), rtol=1e-6)
