"""From decimal digits to whole steps of an instrument's grid, exactly or not at all."""

from decimal import Decimal
from typing import Any

import numpy as np

from smartmoney.core.book.codes import APPLIED, MALFORMED, OFF_GRID
from smartmoney.core.book.typed import entry, inner

_POWERS = np.array([10**k for k in range(19)], dtype=np.int64)
_INT_MAX = np.iinfo(np.int64).max


def step_of(size: Decimal) -> tuple[int, int]:
    """Return (decimals, the size as an integer at that many decimals): 0.05 -> (2, 5), 10 -> (0, 10).

    Raises:
        ValueError: the size is not positive and finite, or needs more than eighteen digits.
    """
    if not (size.is_finite() and size > 0):
        raise ValueError(f"a grid's step must be positive, not {size}")
    exponent = size.normalize().as_tuple().exponent
    decimals = max(0, -int(exponent))
    step = int(size.scaleb(decimals))
    if decimals > 18 or step >= 10**18:
        raise ValueError(f"a grid's step of {size} has more than eighteen digits")
    return decimals, step


@inner
def is_plain(count: int, values: Any, decimals: Any, grid_decimals: int, smallest: int, largest: int) -> bool:
    """Tell whether all values are steps of 1 at the grid's decimals already, and in range. Sums and extremes: vector instructions."""
    other = 0
    for k in range(count):
        other |= decimals[k] ^ grid_decimals
    if other != 0:
        return False
    low = largest
    high = smallest
    for k in range(count):
        low = min(low, values[k])
        high = max(high, values[k])
    return smallest <= low and high <= largest


@entry
def to_grid(count: int, values: Any, decimals: Any, grid_decimals: int, grid_step: int, smallest: int, largest: int, is_shown: bool) -> int:
    """Turn digits into whole steps in place. Return APPLIED, OFF_GRID or MALFORMED (out of [smallest, largest]).

    `is_shown`: the values are quantities that a book shows. Real spot books hold some that are finer than the lot in which one may order
    (older orders, other rules); they are rounded down to whole lots, but not to nothing, so that the level stays.
    """
    if grid_step == 1 and is_plain(count, values, decimals, grid_decimals, smallest, largest):
        return APPLIED
    last = -1
    multiplier = 1
    divisor = 1
    limit = _INT_MAX
    for k in range(count):
        value = values[k]
        shift: Any = np.int64(decimals[k])
        if shift != last:
            last = shift
            shift -= grid_decimals
            multiplier = 1
            divisor = grid_step
            if shift < 0:
                multiplier = _POWERS[min(-shift, 18)]
            elif grid_step > _INT_MAX // _POWERS[shift]:
                divisor = _INT_MAX  # finer than any number here: only zero is on the grid
            else:
                divisor = grid_step * _POWERS[shift]
            limit = _INT_MAX // multiplier
        if multiplier != 1:
            if value > limit:
                return MALFORMED
            value *= multiplier
        if divisor != 1:
            whole = value // divisor
            if whole * divisor != value:
                if not is_shown:
                    return OFF_GRID
                whole = max(whole, 1)
            value = whole
        if value < smallest or value > largest:
            return MALFORMED
        values[k] = value
    return APPLIED
