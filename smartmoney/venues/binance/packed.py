"""Frames that were scanned beforehand: words instead of text, from which the scanner's scratch is filled without reading a digit.

A packed frame is a row of little-endian 64-bit words: a head (mark, what was seen, decimals), the hashes of event type and symbol, the
numbers that were seen in a fixed order, price and quantity of a trade, and the levels of a book: their counts, then each side's prices and
quantities, two to a word where all of them fit. Prices and quantities are whole units of one number of decimals each.

Invariants: a frame is packed only if the scanner reads it, its event type is one that is known, and unpacking leaves what scanning would:
the same fields, and levels of the same value, whose trailing zeros may be others; every other frame stays text. No byte outside a frame is
read, whatever it holds; what is no packed frame is not unpacked.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from smartmoney.core.book.codes import APPLIED, UNKNOWN
from smartmoney.core.book.state import SCAN_LEVELS
from smartmoney.core.book.typed import entry, inner, int64, spliced
from smartmoney.core.book.words import WORD_BYTES, pointer_of, word_at
from smartmoney.venues.binance.event_types import KNOWN_EVENTS, fnv
from smartmoney.venues.binance.scan import (
    SEEN_AGGREGATE_ID,
    SEEN_ASKS,
    SEEN_BIDS,
    SEEN_EVENT_TIME,
    SEEN_FINAL_ID,
    SEEN_FIRST_ID,
    SEEN_PREVIOUS_ID,
    SEEN_PRICE,
    SEEN_TRADE_ID,
    SEEN_TRANSACTION_TIME,
    SEEN_UNIFORM,
)
from smartmoney.venues.recorded_lines import PACKED_EVENT

MARK = 0x01FF
"""The lowest two bytes of a head: no text begins with them."""
SEEN_AT, MAKER_AT, WIDE_AT, UNIFORM_AT, PRICE_AT, LOT_AT = 16, 36, 37, 38, 40, 48
"""Where in a head what was seen, the aggressor, the width of the levels, whether all prices and quantities fit a grid of their decimals,
and these begin."""
SIDES = SEEN_BIDS | SEEN_ASKS
HALF = 32
HALF_BITS = 0xFFFFFFFF

_MARK_BITS = 0xFFFF
_SEEN_BITS = 0xFFFFF
_BYTE = 0xFF
_HEAD_BYTES = 24
_SYMBOL_BYTE = 16
_START = int64(0)
_EVENTS: Mapping[int, str] = {fnv(name): name for name in ("depthUpdate", "trade", "aggTrade", *KNOWN_EVENTS)}


@spliced
def _word(text: Any, i: int, end: int) -> Any:
    """Return the word at `i`, 0 where the frame ends before."""
    return np.int64(word_at(text, i)) if i + WORD_BYTES <= end else 0


@inner
def _read_levels(text: Any, i: int, count: int, is_wide: bool, values: Any) -> int:
    """Take `count` values that begin at `i`; return where the next begin. The caller has checked that they are there."""
    if is_wide:
        for k in range(count):
            values[k] = np.int64(word_at(text, i + (k << 3)))
        return i + (count << 3)
    for k in range(count >> 1):
        word = np.int64(word_at(text, i + (k << 3)))
        values[2 * k] = word & HALF_BITS
        values[2 * k + 1] = (word >> HALF) & HALF_BITS
    if count & 1 != 0:
        values[count - 1] = np.int64(word_at(text, i + ((count >> 1) << 3))) & HALF_BITS
    return i + (((count + 1) >> 1) << 3)


@inner
def _read_book(text: Any, i: int, end: int, head: int, s: Any) -> int:
    """Take both sides of a book whose counts stand at `i`; return where the frame goes on, -1 if it is shorter than it says."""
    counts = _word(text, i, end)
    i += WORD_BYTES
    bids = counts & HALF_BITS
    asks = (counts >> HALF) & HALF_BITS
    if bids > SCAN_LEVELS or asks > SCAN_LEVELS:
        return -1
    is_wide = (head >> WIDE_AT) & 1 != 0
    words = 2 * (bids + asks) if is_wide else 2 * (((bids + 1) >> 1) + ((asks + 1) >> 1))
    if i + words * WORD_BYTES > end:
        return -1
    price_decimals = np.int8((head >> PRICE_AT) & _BYTE)
    lot_decimals = np.int8((head >> LOT_AT) & _BYTE)
    for side in range(2):
        count = bids if side == 0 else asks
        s.scan_count[side] = count
        i = _read_levels(text, i, count, is_wide, s.scan_prices[side])
        i = _read_levels(text, i, count, is_wide, s.scan_quantities[side])
        s.scan_price_decimals[side, 0] = price_decimals
        s.scan_quantity_decimals[side, 0] = lot_decimals
        if (head >> UNIFORM_AT) & 1 == 0:
            for k in range(1, count):
                s.scan_price_decimals[side, k] = price_decimals
                s.scan_quantity_decimals[side, k] = lot_decimals
    return i


@inner
def _read_numbers(text: Any, i: int, end: int, seen: int, s: Any) -> Any:
    """Take the numbers that were seen, which begin at `i`; return where the frame goes on."""
    if seen & SEEN_EVENT_TIME != 0:
        s.scan_event_time = _word(text, i, end)
        i += WORD_BYTES
    if seen & SEEN_TRANSACTION_TIME != 0:
        s.scan_transaction_time = _word(text, i, end)
        i += WORD_BYTES
    if seen & SEEN_FIRST_ID != 0:
        s.scan_first_id = _word(text, i, end)
        i += WORD_BYTES
    if seen & SEEN_FINAL_ID != 0:
        s.scan_final_id = _word(text, i, end)
        i += WORD_BYTES
    if seen & SEEN_PREVIOUS_ID != 0:
        s.scan_previous_id = _word(text, i, end)
        i += WORD_BYTES
    if seen & SEEN_TRADE_ID != 0:
        s.scan_trade_id = _word(text, i, end)
        i += WORD_BYTES
    if seen & SEEN_AGGREGATE_ID != 0:
        s.scan_aggregate_id = _word(text, i, end)
        i += WORD_BYTES
    return i


@inner
def unpack(text: Any, begin: int, end: int, states: Any) -> Any:
    """Fill record 0's scratch from a packed frame, as `scan_frame` would from its text: APPLIED, or UNKNOWN if it is none."""
    s = states[0]
    head = _word(text, begin, end)
    if end - begin < _HEAD_BYTES or head & _MARK_BITS != MARK:
        return UNKNOWN
    seen = (head >> SEEN_AT) & _SEEN_BITS
    s.scan_seen = seen | SEEN_UNIFORM if (head >> UNIFORM_AT) & 1 != 0 else seen
    s.scan_event = word_at(text, begin + PACKED_EVENT)
    s.scan_symbol = word_at(text, begin + _SYMBOL_BYTE)
    s.scan_maker = (head >> MAKER_AT) & 1
    s.scan_count[0] = 0
    s.scan_count[1] = 0
    s.scan_trade_price = 0
    s.scan_trade_quantity = 0
    i = _read_numbers(text, begin + _HEAD_BYTES, end, seen, s)
    if seen & SEEN_PRICE != 0:
        s.scan_trade_price = _word(text, i, end)
        s.scan_trade_quantity = _word(text, i + WORD_BYTES, end)
        s.scan_trade_price_decimals = (head >> PRICE_AT) & _BYTE
        s.scan_trade_quantity_decimals = (head >> LOT_AT) & _BYTE
        i += 2 * WORD_BYTES
    if seen & SIDES != 0:
        i = _read_book(text, i, end, head, s)
    if i != end:
        return UNKNOWN
    return APPLIED


@entry
def unpack_one(frame: bytes, states: Any) -> Any:
    """Do `unpack` with one frame."""
    return unpack(pointer_of(frame), _START, len(frame), states)


def is_packed(frame: bytes) -> bool:
    """Tell whether a frame has the mark of packed ones."""
    return int.from_bytes(frame[:2], "little") == MARK


def event_of(frame: bytes) -> str:
    """Return the event type of a packed frame, which is always one that is known."""
    return _EVENTS[int.from_bytes(frame[PACKED_EVENT : PACKED_EVENT + WORD_BYTES], "little")]
