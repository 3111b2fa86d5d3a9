"""Float noise goes, and nothing else does."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.adapters.history.events import LevelsChanged, Printed, Repairs, decimal_text
from smartmoney.adapters.history.noise import without_noise

T = 1_700_000_000_000_000_000


def through(*sizes):
    repairs = Repairs()
    found = without_noise(iter([Printed(T, T, "X", 1, "100", size, True) for size in sizes]), repairs)
    return [one.quantity for one in found], repairs.lines()


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 8))
def test_sums_of_floats_are_what_the_sum_of_their_texts_is(one, other, decimals):
    texts = [f"{Decimal(number).scaleb(-decimals):f}" for number in (one, other)]
    noisy = decimal_text(repr(float(texts[0]) + float(texts[1])), "x", may_be_zero=False)
    [found], _ = through(noisy)
    assert Decimal(found) == Decimal(texts[0]) + Decimal(texts[1])


def test_noise_is_counted_in_books_and_trades():
    assert through("0.30000000000000004", "0.3", "95432.10000000001", "0.7999999999999999") == (
        ["0.3", "0.3", "95432.1", "0.8"],
        ["numbers with the noise of binary floating point, rounded to what they were: 3"],
    )
    repairs = Repairs()
    book = LevelsChanged(T, T, "X", True, (("99.89999999999999", "1"),), (("100.1", "0.30000000000000004"),))
    [found] = without_noise(iter([book]), repairs)
    assert (found.bids, found.asks, len(repairs.counts)) == ((("99.9", "1"),), (("100.1", "0.3"),), 1)


@pytest.mark.parametrize("size", ["1000000000000.01", "0.000000000000000001", "123456789012345", "0.123456789012345", "1.00000000000001"])
def test_what_a_finer_grid_may_have_is_kept(size):
    assert through(size) == ([size], [])


def test_one_number_of_many_digits_that_is_no_noise_tells_a_grid_as_fine():
    sizes = ["1.123456789012345678", "0.300000000000000004", "2.000000000000000001"]
    assert through(*sizes) == (sizes, [])
