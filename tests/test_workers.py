"""The parallel map: order kept, what is in flight bounded."""

from operator import neg

import pytest

from remint.core.workers import ordered_map


@pytest.mark.parametrize("workers", [1, 2])
def test_a_parallel_map_keeps_the_order_and_bounds_what_is_in_flight(workers):
    taken = []

    def numbers():
        for number in range(5000):
            taken.append(number)
            yield number

    found = ordered_map(neg, numbers(), workers, batch=4)
    assert [next(found) for _ in range(3)] == [0, -1, -2] and len(taken) <= 4 * 16 * workers
    assert list(found) == [-n for n in range(3, 5000)]


def test_heavy_items_are_taken_fewer_at_a_time():
    taken = []
    items = (taken.append(n) or n for n in range(100))
    found = ordered_map(neg, items, 2, weight=lambda item: 8 * 2**20)
    assert next(found) == 0 and len(taken) <= 5
    assert list(found)[-1] == -99
