"""A place in a queue: exact for any lots, never behind where it was, never behind more than is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.book.queue import move_up

LOTS = st.one_of(st.integers(0, 50), st.integers(0, 2**33), st.integers(0, 2**55))


def expected(ahead, before, traded, lots, shown, is_even):
    """The same in the words of the module, with integers that have no end."""
    ahead = max(0, ahead - lots)
    explained = min(traded + lots, max(0, before - shown))
    if is_even and 0 < shown < before - explained:
        ahead = ahead * shown // (before - explained)
    return min(ahead, shown), traded + lots - explained


@given(LOTS, LOTS, LOTS, LOTS, LOTS, st.sampled_from([0, 1]))
def test_it_is_exact_and_nobody_moves_back(ahead, before, traded, lots, shown, is_even):
    found = move_up(ahead, before, traded, lots, shown, is_even)
    assert found == expected(ahead, before, traded, lots, shown, is_even)
    assert 0 <= found[0] <= min(max(0, ahead - lots), shown)


@pytest.mark.parametrize(
    ("frames", "is_even", "places"),
    [
        # (trade of ours, shown) in turn, from 100 ahead of 100 shown.
        ([(30, 100), (0, 70)], 0, [(70, 30), (70, 0)]),
        ([(30, 100), (0, 70)], 1, [(70, 30), (70, 0)]),
        ([(0, 150), (0, 120), (0, 60)], 0, [(100, 0), (100, 0), (60, 0)]),
        ([(0, 150), (0, 120), (0, 60)], 1, [(100, 0), (80, 0), (40, 0)]),
        ([(40, 100), (0, 50)], 1, [(60, 40), (50, 0)]),
        ([(0, 0), (0, 200)], 0, [(0, 0), (0, 0)]),
    ],
)
def test_what_trades_and_what_is_withdrawn(frames, is_even, places):
    ahead, traded, before = 100, 0, 100
    for (lots, shown), place in zip(frames, places, strict=True):
        ahead, traded = move_up(ahead, before, traded, lots, shown, is_even)
        before = shown
        assert (ahead, traded) == place
