"""Pack recorded frames: scan them once, and keep what was scanned as words (`packed`), for runs that will read them again.

On the way each symbol's decimals are found, as `grid_inference` finds them; a frame is written in the most that its symbol has needed so
far, so that what is read later is on the grid already, but for the first few frames.
"""

# Chains of comparisons compile to branches; membership in a tuple would compile to a loop over a copy of it.
# ruff: noqa: PLR1714, SIM109

from typing import Any

import numpy as np

from smartmoney.core.book.typed import entry, inner, int64
from smartmoney.core.book.words import WORD_BYTES, pointer_of, word_at
from smartmoney.venues.binance.event_types import EVENT_AGGREGATE, EVENT_DEPTH, EVENT_MARK, EVENT_TRADE, is_known
from smartmoney.venues.binance.grid_inference import measure
from smartmoney.venues.binance.kernel import FRAME_BYTES_MAX
from smartmoney.venues.binance.packed import HALF, HALF_BITS, LOT_AT, MAKER_AT, MARK, PRICE_AT, SEEN_AT, SIDES, UNIFORM_AT, WIDE_AT
from smartmoney.venues.binance.scan import (
    SEEN_AGGREGATE_ID,
    SEEN_EVENT,
    SEEN_EVENT_TIME,
    SEEN_FINAL_ID,
    SEEN_FIRST_ID,
    SEEN_MAKER,
    SEEN_PREVIOUS_ID,
    SEEN_PRICE,
    SEEN_SNAPSHOT_ID,
    SEEN_SYMBOL,
    SEEN_TRADE_ID,
    SEEN_TRANSACTION_TIME,
    scan,
)
from smartmoney.venues.recorded_lines import BEGINS, ENDS, SNAPSHOTS, TYPE_WITHIN, event_kind, kind_of_event

_WORDS_SPARE = 32
"""Words that a frame may take beyond a quarter of its bytes, which its levels fit into."""
_VALUE_MAX = 10**18
_NOBODY = int64(-1)
_START = int64(0)
_POWERS: Any = np.array([10**k for k in range(19)], np.int64)


def words_for(size: int) -> int:
    """Return how many words the packed form of a frame of so many bytes may take at most."""
    return (size >> 2) + _WORDS_SPARE


@inner
def _rescale(count: int, values: Any, decimals: Any, target: int) -> Any:
    """Write values in `target` decimals, which none exceeds but by zeros; return the largest, -1 if one is too large."""
    largest: Any = 0
    for k in range(count):
        shift = np.int64(decimals[k]) - target
        value = values[k]
        if shift > 0:
            value //= _POWERS[min(shift, 18)]
        elif shift < 0:
            if value > _VALUE_MAX // _POWERS[min(-shift, 18)]:
                return -1
            value *= _POWERS[min(-shift, 18)]
        values[k] = value
        largest = max(largest, value)
    return largest


@inner
def _write_levels(count: int, values: Any, is_wide: bool, out: Any, at: int) -> int:
    if is_wide:
        for k in range(count):
            out[at + k] = values[k]
        return at + count
    for k in range((count + 1) >> 1):
        other = values[2 * k + 1] if 2 * k + 1 < count else 0
        out[at + k] = values[2 * k] | (other << HALF)
    return at + ((count + 1) >> 1)


@inner
def _write_numbers(s: Any, seen: int, out: Any, at: int) -> Any:
    if seen & SEEN_EVENT_TIME != 0:
        out[at] = s.scan_event_time
        at += 1
    if seen & SEEN_TRANSACTION_TIME != 0:
        out[at] = s.scan_transaction_time
        at += 1
    if seen & SEEN_FIRST_ID != 0:
        out[at] = s.scan_first_id
        at += 1
    if seen & SEEN_FINAL_ID != 0:
        out[at] = s.scan_final_id
        at += 1
    if seen & SEEN_PREVIOUS_ID != 0:
        out[at] = s.scan_previous_id
        at += 1
    if seen & SEEN_TRADE_ID != 0:
        out[at] = s.scan_trade_id
        at += 1
    if seen & SEEN_AGGREGATE_ID != 0:
        out[at] = s.scan_aggregate_id
        at += 1
    return at


@inner
def _rescale_all(s: Any, seen: int, price_decimals: int, lot_decimals: int) -> Any:
    """Bring every price and quantity of the scratch to these decimals; return the largest, -1 if one is too large."""
    largest: Any = 0
    if seen & SEEN_PRICE != 0:
        # A trade's numbers go by the place of a level, of which it has none.
        s.scan_prices[0, 0] = s.scan_trade_price
        s.scan_price_decimals[0, 0] = s.scan_trade_price_decimals
        s.scan_quantities[0, 0] = s.scan_trade_quantity
        s.scan_quantity_decimals[0, 0] = s.scan_trade_quantity_decimals
        price = _rescale(1, s.scan_prices[0], s.scan_price_decimals[0], price_decimals)
        lots = _rescale(1, s.scan_quantities[0], s.scan_quantity_decimals[0], lot_decimals)
        s.scan_trade_price = s.scan_prices[0, 0]
        s.scan_trade_quantity = s.scan_quantities[0, 0]
        return -1 if price < 0 or lots < 0 else max(price, lots)
    for side in range(2):
        count = s.scan_count[side]
        price = _rescale(count, s.scan_prices[side], s.scan_price_decimals[side], price_decimals)
        lots = _rescale(count, s.scan_quantities[side], s.scan_quantity_decimals[side], lot_decimals)
        if price < 0 or lots < 0:
            return -1
        largest = max(largest, price, lots)
    return largest


@inner
def _is_fit(text: Any, begin: int, end: int, s: Any, seen: int) -> Any:
    """Tell whether a scanned frame may be packed: of a known event type that stands where it is looked for, no snapshot, not too long."""
    if end - begin > FRAME_BYTES_MAX or seen & SEEN_EVENT == 0 or seen & SEEN_SNAPSHOT_ID != 0:
        return False
    event = s.scan_event
    if event == EVENT_MARK:
        return False  # its own numbers have no place among the words
    # Levels of no depth update were not measured.
    if event != EVENT_DEPTH and (seen & SIDES != 0 or not (event == EVENT_TRADE or event == EVENT_AGGREGATE or is_known(event))):
        return False
    return event_kind(text, begin, min(end, begin + TYPE_WITHIN)) == kind_of_event(event)


@inner
def _has_prices(s: Any) -> Any:
    """Tell whether every level has a price."""
    least: Any = 1
    for side in range(2):
        for k in range(s.scan_count[side]):
            least = min(least, s.scan_prices[side, k])
    return least >= 1


@inner
def _write(s: Any, seen: int, price_decimals: Any, lot_decimals: Any, out: Any, at: int) -> Any:
    """Write the scanned frame as words to `out` from `at` on; return where it ends, -1 if it cannot be packed."""
    largest = _rescale_all(s, seen, price_decimals, lot_decimals)
    if largest < 0:
        return -1
    is_wide = largest > HALF_BITS
    head = MARK | (seen << SEEN_AT) | (price_decimals << PRICE_AT) | (lot_decimals << LOT_AT)
    if seen & SEEN_MAKER != 0 and s.scan_maker != 0:
        head |= 1 << MAKER_AT
    if is_wide:
        head |= 1 << WIDE_AT
    elif (seen & SIDES != 0 and _has_prices(s)) or (seen & SEEN_PRICE != 0 and s.scan_trade_price >= 1):
        head |= 1 << UNIFORM_AT
    out[at] = head
    out[at + 1] = np.int64(s.scan_event)
    out[at + 2] = np.int64(s.scan_symbol)
    at = _write_numbers(s, seen, out, at + 3)
    if seen & SEEN_PRICE != 0:
        out[at] = s.scan_trade_price
        out[at + 1] = s.scan_trade_quantity
        at += 2
    if seen & SIDES != 0:
        out[at] = s.scan_count[0] | (s.scan_count[1] << HALF)
        at += 1
        for side in range(2):
            at = _write_levels(s.scan_count[side], s.scan_prices[side], is_wide, out, at)
            at = _write_levels(s.scan_count[side], s.scan_quantities[side], is_wide, out, at)
    return at


@inner
def _copy_text(text: Any, begin: int, end: int, out: Any, at: int) -> int:
    """Write a frame's text to `out` from `at` on, filled up with zeros; return where it ends."""
    i = begin
    while i + WORD_BYTES <= end:
        out[at] = np.int64(word_at(text, i))
        at += 1
        i += WORD_BYTES
    if i < end:
        word: Any = 0
        for k in range(end - i):
            word |= np.int64(text[i + k]) << (8 * k)
        out[at] = word
        at += 1
    return at


@inner
def _pack_known(text: Any, begin: int, end: int, s: Any, seen: int, need: Any, out: Any, at: int) -> tuple[int, int]:
    """Raise what a symbol needs by a scanned frame of it, and write that; return (where it ends, 1), or (`at`, 0) if it stays text."""
    first_id = s.scan_first_id
    final_id = s.scan_final_id
    bids = s.scan_count[0]
    measure(s)
    need[1] = max(need[1], np.uint64(s.scan_first_id))
    need[2] = max(need[2], np.uint64(s.scan_final_id))
    s.scan_first_id = first_id
    s.scan_final_id = final_id
    s.scan_count[0] = bids
    if not _is_fit(text, begin, end, s, seen):
        return at, 0
    after = _write(s, seen, np.int64(need[1]), np.int64(need[2]), out, at)
    return (at, 0) if after < 0 else (after, 1)


@entry
def pack_frames(
    buffer: bytes, rows: Any, first: int, states: Any, needs: Any, known: int, out: Any, at: int, placed: Any
) -> tuple[int, int]:
    """Pack the frames from `first` on into `out` from word `at` on, or copy their text; return (the next frame, the next word).

    It ends before a frame that has to be looked at (a snapshot, a symbol that is not known yet, a text that the scanner does not read) and
    before one that may not fit. `needs` is as of `grid_inference`: (symbol, decimals of prices, of quantities) of the first `known`
    symbols, raised here. `placed` takes (first byte, byte after the last, 1 if it is packed) of each frame, a column a frame.
    """
    s = states[0]
    text = pointer_of(buffer)
    size = len(out)
    for row in range(first, rows.shape[1]):
        begin = rows[BEGINS, row]
        end = rows[ENDS, row]
        if rows[SNAPSHOTS, row] != 0 or at + ((end - begin) >> 2) + _WORDS_SPARE > size or not scan(text, begin, end, s):
            return row, at
        seen = s.scan_seen
        k = _NOBODY
        if seen & SEEN_SYMBOL != 0:
            k = _START
            while k < known and needs[k, 0] != s.scan_symbol:
                k += 1
            if k == known:
                return row, at
        elif seen & SEEN_SNAPSHOT_ID != 0:
            return row, at
        placed[0, row] = at << 3
        placed[2, row] = 0
        if k >= 0:
            at, is_packed = _pack_known(text, begin, end, s, seen, needs[k], out, at)
            placed[2, row] = is_packed
        else:
            is_packed = 0
        if is_packed == 0:
            at = _copy_text(text, begin, end, out, at)
            placed[1, row] = placed[0, row] + end - begin
        else:
            placed[1, row] = at << 3
    return rows.shape[1], at
