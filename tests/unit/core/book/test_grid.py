"""Steps of a grid: exact or refused."""

from decimal import Decimal

import numpy as np
import pytest

from smartmoney.core.book.codes import APPLIED, MALFORMED, OFF_GRID
from smartmoney.core.book.grid import step_of, to_grid


@pytest.mark.parametrize(
    ("size", "expected"),
    [("0.01", (2, 1)), ("0.05", (2, 5)), ("10", (0, 10)), ("1E+1", (0, 10)), ("0.010000", (2, 1)), ("1E-8", (8, 1)), ("2.5", (1, 25))],
)
def test_step_of_a_size(size, expected):
    assert step_of(Decimal(size)) == expected


@pytest.mark.parametrize("size", ["0", "-1", "NaN", "Infinity", "1E-19", "1E+18"])
def test_sizes_that_are_no_grid_are_refused(size):
    with pytest.raises(ValueError, match="grid"):
        step_of(Decimal(size))


@pytest.mark.parametrize(
    ("digits", "decimals", "grid", "expected", "value"),
    [
        (1005, 1, (1, 5), APPLIED, 201),
        (100_500_000, 6, (1, 5), APPLIED, 201),
        (1, 0, (8, 1), APPLIED, 100_000_000),
        (1003, 1, (1, 5), OFF_GRID, None),
        (1, 18, (0, 10), OFF_GRID, None),
        (10**17, 0, (8, 1), MALFORMED, None),
        (0, 0, (2, 1), MALFORMED, None),
    ],
)
def test_digits_become_whole_steps_exactly_or_not_at_all(digits, decimals, grid, expected, value):
    values, shifts = np.array([digits], np.int64), np.array([decimals], np.int8)
    assert to_grid(1, values, shifts, *grid, 1, 10**15, False) == expected
    assert value is None or int(values[0]) == value
