"""Find the next or previous set bit of a two-level bitmap, in compiled kernels.

`words` holds a bit per place; bit w of `summary` says that word w is not zero. Every shift is done in unsigned 64-bit arithmetic,
because numba turns mixed signed and unsigned operands into floats.
"""

from typing import cast

import numpy as np
import numpy.typing as npt

from smartmoney.core.book.typed import inner


def int64(value: int) -> int:
    """Return a constant that numba types as int64, not as a literal: it compiles a kernel again for each literal it is called with."""
    return cast("int", np.int64(value))


_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@inner
def set_bit(words: npt.NDArray[np.uint64], summary: npt.NDArray[np.uint64], i: int) -> None:
    """Set the bit of a place."""
    w = i >> 6
    words[w] |= _ONE << np.uint64(i & 63)
    summary[w >> 6] |= _ONE << np.uint64(w & 63)


@inner
def clear_bit(words: npt.NDArray[np.uint64], summary: npt.NDArray[np.uint64], i: int) -> None:
    """Clear the bit of a place."""
    w = i >> 6
    words[w] &= ~(_ONE << np.uint64(i & 63))
    if words[w] == _ZERO:
        summary[w >> 6] &= ~(_ONE << np.uint64(w & 63))


@inner
def next_bit(words: npt.NDArray[np.uint64], summary: npt.NDArray[np.uint64], i: int) -> int:
    """Return the first set place >= i, or -1. `i` is within the bitmap."""
    w = i >> 6
    rest = words[w] & (_ALL << np.uint64(i & 63))
    if rest != _ZERO:
        return (w << 6) + lowest(rest)
    w += 1
    s = w >> 6
    if s >= summary.size:
        return -1
    rest = summary[s] & (_ALL << np.uint64(w & 63))
    while rest == _ZERO:
        s += 1
        if s >= summary.size:
            return -1
        rest = summary[s]
    w = (s << 6) + lowest(rest)
    return (w << 6) + lowest(words[w])


@inner
def previous_bit(words: npt.NDArray[np.uint64], summary: npt.NDArray[np.uint64], i: int) -> int:
    """Return the last set place <= i, or -1. `i` is within the bitmap."""
    w = i >> 6
    rest = words[w] & (_ALL >> np.uint64(63 - (i & 63)))
    if rest != _ZERO:
        return (w << 6) + highest(rest)
    w -= 1
    if w < 0:
        return -1
    s = w >> 6
    rest = summary[s] & (_ALL >> np.uint64(63 - (w & 63)))
    while rest == _ZERO:
        s -= 1
        if s < 0:
            return -1
        rest = summary[s]
    w = (s << 6) + highest(rest)
    return (w << 6) + highest(words[w])


@inner
def lowest(word: np.uint64) -> int:
    """Return the index of the lowest set bit of a non-zero word."""
    return highest(word & (~word + _ONE))


@inner
def highest(word: np.uint64) -> int:
    """Return the index of the highest set bit of a non-zero word."""
    place = 0
    for step in (32, 16, 8, 4, 2, 1):
        above = word >> np.uint64(step)
        if above != _ZERO:
            word = above
            place += step
    return place
