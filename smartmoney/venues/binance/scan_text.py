"""Reading the pieces of a frame's text: spaces, strings, numbers, values to skip. Bytes in, positions out.

Invariants: no byte outside [i, end) is read; a piece that is not of the plain form is answered with a position of -1, never guessed at.
Where eight bytes are left they are read as one word; the loops over bytes that follow are for the ends of frames and for rare forms, and
say what the words must agree with.
"""

# Chains of comparisons compile to branches; membership in a tuple would compile to a loop over a copy of it.
# ruff: noqa: PLR1714, SIM108, SIM109

from typing import Any

import numpy as np

from smartmoney.core.book.typed import inner, spliced
from smartmoney.core.book.words import POWERS, WORD_BYTES, digits_in, number_of, plain_in, two_stops_in, without_byte, word_at
from smartmoney.venues.binance.event_types import FNV_BASIS, FNV_PRIME

DIGITS_MAX = 18
NESTING_MAX = 64
QUOTE = ord('"')
COMMA = ord(",")
POINT = ord(".")
OPEN, CLOSE = ord("["), ord("]")
BEGIN, END = ord("{"), ord("}")
ESCAPE = ord("\\")
_NUMBER_BYTES = 2 * WORD_BYTES + 1


@spliced
def skip_space(frame: Any, i: int, end: int) -> int:
    """Return the position of the first byte from `i` on that is no space, `end` if there is none."""
    while i < end and (frame[i] == 32 or frame[i] == 10 or frame[i] == 13 or frame[i] == 9):
        i += 1
    return i


@spliced
def read_text(frame: Any, i: int, end: int) -> int:
    """Return the position of the quote that ends a plain string begun before `i`, -1 if it is not plain."""
    while i + WORD_BYTES <= end:
        plain = plain_in(word_at(frame, i))
        i += plain
        if plain < WORD_BYTES:
            return i if frame[i] == QUOTE else -1
    while i < end:
        c = frame[i]
        if c == QUOTE:
            return i
        if c == ESCAPE or c < 32 or c > 126:
            return -1
        i += 1
    return -1


@spliced
def read_hash(frame: Any, i: int, stop: int, upper: bool) -> Any:
    """Return the hash of a text, of its capital letters where `upper`."""
    value = FNV_BASIS
    while i < stop:
        c = frame[i]
        if upper and 97 <= c <= 122:
            value = (value ^ np.uint64(c - 32)) * FNV_PRIME
        else:
            value = (value ^ np.uint64(c)) * FNV_PRIME
        i += 1
    return value


@inner
def _long_number(frame: Any, start: int, whole: int, decimals: int) -> tuple[int, int, int]:
    """Read a number of more than eighteen digits whose last decimals are zeros; (-1, 0, 0) if it has more that count."""
    stop = start + whole + 1 + decimals
    kept = decimals
    while kept > 0 and frame[start + whole + kept] == 48:
        kept -= 1
    if whole + kept > DIGITS_MAX:
        return -1, 0, 0
    value: Any = 0
    for k in range(start, start + whole):
        value = value * 10 + (np.int64(frame[k]) - 48)
    for k in range(start + whole + 1, start + whole + 1 + kept):
        value = value * 10 + (np.int64(frame[k]) - 48)
    return (stop if decimals > 0 else start + whole), value, kept


@spliced
def read_number(frame: Any, i: int, end: int) -> tuple[int, int, int]:
    """Read digits with an optional fraction up to the closing quote: (its position, digits as an integer, decimals); -1 if not so."""
    if i + _NUMBER_BYTES <= end:
        word = word_at(frame, i)
        ones, stop = two_stops_in(word)
        point = i + ones
        if 0 < ones < WORD_BYTES and frame[point] == POINT:
            # Digits, point and digits in one word: what most numbers of a book are.
            if stop > ones + 1 and frame[i + stop] == QUOTE:
                return i + stop, number_of(without_byte(word, ones), stop - 1), stop - ones - 1
            number = number_of(word, ones)
            word = word_at(frame, point + 1)
            places = digits_in(word)
            if places > 0 and frame[point + 1 + places] == QUOTE:
                return point + 1 + places, number * POWERS[places] + number_of(word, places), places
    start = i
    value: Any = 0
    while i < end:
        c = np.int64(frame[i]) - 48
        if c < 0 or c > 9:
            break
        value = value * 10 + c
        i += 1
    whole = i - start
    if whole == 0 or i >= end:
        return -1, 0, 0
    decimals = 0
    if frame[i] == POINT:
        i += 1
        point = i
        while i < end:
            c = np.int64(frame[i]) - 48
            if c < 0 or c > 9:
                break
            value = value * 10 + c
            i += 1
        decimals = i - point
        if decimals == 0 or i >= end:
            return -1, 0, 0
    if frame[i] != QUOTE:
        return -1, 0, 0
    if whole + decimals > DIGITS_MAX:
        return _long_number(frame, start, whole, decimals)
    return i, value, decimals


@spliced
def read_integer(frame: Any, i: int, end: int) -> tuple[int, int]:
    """Read a JSON integer of at most eighteen digits: (position after it, value); position -1 if it is another kind of number."""
    if i + _NUMBER_BYTES <= end and frame[i] != 48:
        word = word_at(frame, i)
        if digits_in(word) == WORD_BYTES:
            number = number_of(word, WORD_BYTES)
            word = word_at(frame, i + WORD_BYTES)
            more = digits_in(word)
            after = i + WORD_BYTES + more
            if 0 < more < WORD_BYTES and (frame[after] == COMMA or frame[after] == END):
                return after, number * POWERS[more] + number_of(word, more)
    start = i
    value: Any = 0
    while i < end:
        c = np.int64(frame[i]) - 48
        if c < 0 or c > 9:
            break
        value = value * 10 + c
        i += 1
    digits = i - start
    if digits == 0 or digits > DIGITS_MAX or (digits > 1 and frame[start] == 48) or i >= end:
        return -1, 0
    if frame[i] == POINT or frame[i] == 101 or frame[i] == 69:
        return -1, 0
    return i, value


@inner
def skip_value(frame: Any, i: int, end: int) -> int:
    """Return the position after a value that begins at `i` and is not a string, -1 if it does not end or nests too deep."""
    c = frame[i]
    if c != OPEN and c != BEGIN:
        start = i
        while i < end and frame[i] != COMMA and frame[i] != END and frame[i] != CLOSE and frame[i] > 32:
            i += 1
        return _literal(frame, start, i)
    depth = 0
    while i < end:
        c = frame[i]
        if c == QUOTE:
            i = read_text(frame, i + 1, end)
            if i < 0:
                return -1
        elif c == OPEN or c == BEGIN:
            depth += 1
            if depth > NESTING_MAX:
                return -1
        elif c == CLOSE or c == END:
            depth -= 1
            if depth == 0:
                return i + 1
        i += 1
    return -1


@inner
def _literal(frame: Any, start: int, stop: int) -> int:
    """Return `stop` if the span is true, false, null or made of a number's characters, else -1."""
    size = stop - start
    if size == 4 and frame[start] == 116 and frame[start + 1] == 114 and frame[start + 2] == 117 and frame[start + 3] == 101:
        return stop
    if size == 4 and frame[start] == 110 and frame[start + 1] == 117 and frame[start + 2] == 108 and frame[start + 3] == 108:
        return stop
    if size == 5 and frame[start] == 102 and frame[start + 1] == 97 and frame[start + 2] == 108 and frame[start + 3] == 115:
        return stop if frame[start + 4] == 101 else -1
    for k in range(start, stop):
        c = frame[k]
        if not (48 <= c <= 57 or c == 45 or c == 43 or c == 46 or c == 101 or c == 69):
            return -1
    return stop if size > 0 else -1
