"""Split recorded text into frames: `<receive time> <json>` a line, many lines in one compiled call.

Invariants: a line that is split here is split as `adapters.recordings` splits it, one at a time; a line of any other form ends the call and
is for that reader to judge. Nothing is copied: a frame is a pair of positions.
"""

# Chains of comparisons compile to branches; membership in a tuple would compile to a loop over a copy of it.
# ruff: noqa: SIM110

from typing import Any

import numpy as np

from smartmoney.core.book.typed import entry, inner, int64, spliced
from smartmoney.core.book.words import WORD_BYTES, line_end_in, pointer_of, word_at
from smartmoney.venues.binance.event_types import FNV_BASIS, FNV_PRIME

BEGINS, ENDS, WALLS, SNAPSHOTS, PACKED = 0, 1, 2, 3, 4
"""Rows of a block: where a frame begins and ends, its receive time in ns, 1 if it is a bare depth snapshot, 1 if it was scanned beforehand
(`binance.packed`)."""
ROWS = 5
KIND_HASH, KIND_COUNT, KIND_FRAME = 0, 1, 2
"""Columns of a kind of frame: its name's hash, how many there were, the row of the first."""
KINDS_MAX = 64
PACKED_EVENT = 8
"""Where in a frame that was scanned beforehand the hash of its event type stands."""
TYPE_WITHIN = 160
"""Bytes of a frame in which its event type stands."""

_US_BELOW = 100_000_000_000_000_000
_STAMP_MIN, _STAMP_MAX = 15, 18
_WORD_MAX = 40
_QUOTE = ord('"')
_OPEN, _BEGIN = ord("["), ord("{")
_COLON, _COMMA = ord(":"), ord(",")
_LINE_END = ord("\n")
_SNAPSHOT_KIND = int64(1)
_TICKER_KIND = int64(2)
_OTHER_KIND = int64(3)
_TICKER = np.frombuffer(b"bookTicker", np.uint8)
_TICKER_KEY = np.frombuffer(b'"B":', np.uint8)
_LAST_ID = np.frombuffer(b'"lastUpdateId"', np.uint8)


@spliced
def _is_space(c: int) -> bool:
    return c == 32 or 9 <= c <= 13


@spliced
def _skip(text: Any, i: int, end: int) -> int:
    while i < end and _is_space(text[i]):
        i += 1
    return i


@inner
def _begins_with(text: Any, i: int, end: int, word: Any) -> bool:
    if i + len(word) > end:
        return False
    for k in range(len(word)):
        if text[i + k] != word[k]:
            return False
    return True


@inner
def _has(text: Any, begin: int, end: int, word: Any) -> bool:
    for i in range(begin, end - len(word) + 1):
        if text[i] == word[0] and _begins_with(text, i, end, word):
            return True
    return False


@inner
def _is_snapshot(text: Any, i: int, end: int) -> bool:
    """Tell whether only plain numbers and strings stand before a first `"lastUpdateId":` in an object."""
    i = _skip(text, i, end)
    if i >= end or text[i] != _BEGIN:
        return False
    i = _skip(text, i + 1, end)
    while i < end and text[i] == _QUOTE:
        if _begins_with(text, i, end, _LAST_ID):
            after = _skip(text, i + len(_LAST_ID), end)
            return after < end and text[after] == _COLON
        start = i + 1
        i = start
        while i < end and (65 <= text[i] <= 90 or 97 <= text[i] <= 122):
            i += 1
        if i == start or i >= end or text[i] != _QUOTE:
            return False
        i = _skip(text, i + 1, end)
        if i >= end or text[i] != _COLON:
            return False
        i = _skip(text, i + 1, end)
        if i < end and text[i] == _QUOTE:
            i += 1
            while i < end and text[i] != _QUOTE:
                i += 1
            i += 1
        else:
            if i < end and text[i] == 45:
                i += 1
            start = i
            while i < end and (48 <= text[i] <= 57 or text[i] == 46):
                i += 1
            if i == start:
                return False
        i = _skip(text, i, end)
        if i >= end or text[i] != _COMMA:
            return False
        i = _skip(text, i + 1, end)
    return False


@spliced
def kind_of_event(event: Any) -> Any:
    """Return the kind of the frames whose event type has this hash."""
    return np.int64(event >> np.uint64(1)) | 4


@inner
def event_kind(text: Any, begin: int, end: int) -> Any:
    """Return the hash of the event type that stands first in a frame's beginning, 0 for none."""
    for start in range(begin, end - 2):
        if text[start] == _QUOTE and text[start + 1] == 101 and text[start + 2] == _QUOTE:
            i = _skip(text, start + 3, end)
            if i < end and text[i] == _COLON:
                i = _skip(text, i + 1, end)
                if i < end and text[i] == _QUOTE:
                    i += 1
                    first = i
                    value = FNV_BASIS
                    while i < end and (48 <= text[i] <= 57 or 65 <= text[i] <= 90 or 97 <= text[i] <= 122 or text[i] == 95):
                        value = (value ^ np.uint64(text[i])) * FNV_PRIME
                        i += 1
                    if first < i <= first + _WORD_MAX and i < end and text[i] == _QUOTE:
                        return kind_of_event(value)
    return 0


@inner
def _kind_of(text: Any, begin: int, end: int, is_snapshot: bool) -> Any:
    if is_snapshot:
        return _SNAPSHOT_KIND
    end = min(end, begin + TYPE_WITHIN)
    kind = event_kind(text, begin, end)
    if kind != 0:
        return kind
    if _has(text, begin, end, _TICKER) or _has(text, begin, end, _TICKER_KEY):
        return _TICKER_KIND
    return _OTHER_KIND


@inner
def _count(kinds: Any, count: int, kind: int, row: int) -> int:
    """Count a frame under its kind; return how many kinds there are."""
    for k in range(count):
        if kinds[k, KIND_HASH] == kind:
            kinds[k, KIND_COUNT] += 1
            return count
    kinds[count, KIND_HASH] = kind
    kinds[count, KIND_COUNT] = 1
    kinds[count, KIND_FRAME] = row
    return count + 1


@entry
def classify(buffer: bytes, rows: Any, first: int, kinds: Any, marks: bool) -> tuple[int, int]:
    """Count the kinds of the frames from `first` on; mark depth snapshots among them where `marks`.

    Returns (where it ended, kinds): before the last frame once `kinds` is full.
    """
    text = pointer_of(buffer)
    known = 0
    count = rows.shape[1]
    for row in range(first, count):
        if known == KINDS_MAX:
            return row, known
        begin, end = rows[BEGINS, row], rows[ENDS, row]
        if marks:
            rows[SNAPSHOTS, row] = 1 if _is_snapshot(text, begin, end) else 0
        if rows[PACKED, row] != 0:
            kind = kind_of_event(word_at(text, begin + PACKED_EVENT))
        else:
            kind = _kind_of(text, begin, end, rows[SNAPSHOTS, row] != 0)
        known = _count(kinds, known, kind, row)
    return count, known


@inner
def _line_end(text: Any, i: int, size: int) -> int:
    """Return where the line that holds `i` ends, `size` if it does not."""
    while i + WORD_BYTES <= size:
        at = line_end_in(word_at(text, i))
        i += at
        if at < WORD_BYTES:
            return i
    while i < size and text[i] != _LINE_END:
        i += 1
    return i


@entry
def split_lines(buffer: bytes, at: int, rows: Any) -> tuple[int, int, int]:
    """Split the whole lines of `buffer` from `at` on into `rows`; blank ones are left out.

    Returns (frames, where the next line begins, where it ends): an end of -1 where no whole line is left or `rows` are full, else the line
    that begins there is of another form.
    """
    text = pointer_of(buffer)
    size = len(buffer)
    count = 0
    most = rows.shape[1]
    while count < most:
        end = _line_end(text, at, size)
        if end >= size:
            return count, at, -1
        i = _skip(text, at, end)
        stop = end
        while stop > i and _is_space(text[stop - 1]):
            stop -= 1
        if i < stop:
            start = i
            stamp: Any = 0
            while i < stop and 48 <= text[i] <= 57 and i - start <= _STAMP_MAX + 1:
                stamp = stamp * 10 + (np.int64(text[i]) - 48)
                i += 1
            digits = i - start
            is_plain = digits >= _STAMP_MIN and (digits <= _STAMP_MAX or (digits == _STAMP_MAX + 1 and text[start] < 57))
            if not is_plain or i + 1 >= stop or text[i] != 32 or (text[i + 1] != _BEGIN and text[i + 1] != _OPEN):
                return count, at, end
            rows[BEGINS, count] = i + 1
            rows[ENDS, count] = stop
            rows[WALLS, count] = stamp * 1000 if stamp < _US_BELOW else stamp
            count += 1
        at = end + 1
    return count, at, -1
