"""Print price levels as JSON text in one compiled call."""

import numpy as np
import numpy.typing as npt
from numba import njit

LEVEL_BYTES = 64
"""Most bytes one level can take: two numbers of at most 27 characters with their punctuation."""

_QUOTE, _COMMA, _DOT, _OPEN, _CLOSE, _ZERO = 34, 44, 46, 91, 93, 48


@njit(cache=True, nogil=True)
def write_levels(
    levels: npt.NDArray[np.int64], price_step: int, price_decimals: int, lot_step: int, lot_decimals: int, out: npt.NDArray[np.uint8]
) -> int:
    """Write a JSON array of [price, quantity] pairs and return its length; `out` holds 2 + LEVEL_BYTES bytes a level."""
    at = 1
    out[0] = _OPEN
    for i in range(levels.shape[0]):
        if i:
            out[at] = _COMMA
            at += 1
        out[at] = _OPEN
        at = _write_number(out, at + 1, levels[i, 0] * price_step, price_decimals)
        out[at] = _COMMA
        at = _write_number(out, at + 1, levels[i, 1] * lot_step, lot_decimals)
        out[at] = _CLOSE
        at += 1
    out[at] = _CLOSE
    return at + 1


@njit(cache=True, nogil=True)
def _write_number(out: npt.NDArray[np.uint8], at: int, value: int, decimals: int) -> int:
    digits = decimals + 1
    rest = value
    for _ in range(digits):
        rest //= 10
    while rest > 0:
        digits += 1
        rest //= 10
    length = digits + 2 + (1 if decimals else 0)
    end = at + length - 1
    out[at] = _QUOTE
    out[end] = _QUOTE
    place = end - 1
    rest = value
    for n in range(digits):
        if n == decimals and decimals:
            out[place] = _DOT
            place -= 1
        out[place] = _ZERO + rest % 10
        rest //= 10
        place -= 1
    return at + length
