"""One compiled call per Binance frame: scan, sequence rules, book, features.

Invariants: a frame is scanned and converted completely before anything is applied, so a frame that is refused changes counters and `scan_*`
fields only; the sequence rules are those of the venue's local-book algorithm, per market; a book is synced exactly while its levels are the
snapshot plus every later change. The features' hooks are called statically, in this order: `on_frame`, `take_level` per changed level that
is near enough to be taken in, before the change is written (only while synced), `on_book` after the frame, `on_trade` per public trade,
`on_reset` when the book is dropped.
"""

# Chains of comparisons compile to branches; membership in a tuple would compile to a loop over a copy of it.
# ruff: noqa: PLR1714

from typing import Any

from smartmoney.core.book.codes import (
    APPLIED,
    BUFFER,
    GAP,
    IGNORED,
    INDEX_SHIFT,
    MALFORMED,
    NO_INSTRUMENT,
    OFF_GRID,
    SNAPSHOT,
    SNAPSHOT_TOO_OLD,
    TRADE,
    UNKNOWN,
)
from smartmoney.core.book.grid import to_grid
from smartmoney.core.book.kernel import clear, follow_touch, level_lots, set_level, store_level, window_base
from smartmoney.core.book.state import PHASE_EMPTY, PHASE_SYNCED, SPOT, WINDOW
from smartmoney.core.book.typed import ASK_SIDE, BID_SIDE, NO, YES, entry, inlined, inner, int64, spliced
from smartmoney.core.book.words import pointer_of, prefetch_at
from smartmoney.core.features.horizons import DISTANCE_MAX_BPS
from smartmoney.core.features.kernel import on_book, on_frame, on_reset, on_trade, take_level
from smartmoney.venues.binance.event_types import EVENT_AGGREGATE, EVENT_DEPTH, EVENT_MARK, EVENT_TRADE, is_known
from smartmoney.venues.binance.feed_evidence import forget_touches, judge_trades, note_clocks
from smartmoney.venues.binance.mark import note_mark
from smartmoney.venues.binance.packed import unpack
from smartmoney.venues.binance.routing import event_time_ns, route, scanned_event_ns
from smartmoney.venues.binance.scan import (
    SEEN_AGGREGATE_ID,
    SEEN_ASKS,
    SEEN_BIDS,
    SEEN_ENVELOPE,
    SEEN_EVENT,
    SEEN_FINAL_ID,
    SEEN_FIRST_ID,
    SEEN_MAKER,
    SEEN_PARTIAL,
    SEEN_PREVIOUS_ID,
    SEEN_PRICE,
    SEEN_QUANTITY,
    SEEN_REPLY,
    SEEN_SNAPSHOT_ID,
    SEEN_SYMBOL,
    SEEN_TICKER_ASK,
    SEEN_TICKER_BID,
    SEEN_TRADE_ID,
    SEEN_UNIFORM,
    scan,
)
from smartmoney.venues.binance.sequence import is_too_old, judge_sequence
from smartmoney.venues.recorded_lines import BEGINS, ENDS, PACKED, WALLS

FRAME_BYTES_MAX = 8 * 1024 * 1024
LOTS_MAX = 10**14
"""Largest quantity of one level: sums over a whole book stay inside 64 bits."""
TICKS_MAX = 10**15

_AHEAD = 8
"""Levels for which the book is fetched into the cache ahead of the one in hand: the window is larger than the cache."""
_STREAM_TRADE = 1
_START = int64(0)
_NOBODY = int64(-1)
_REFUSED = int64(MALFORMED)
_TICK_MIN = int64(1)
_TICK_MAX = int64(TICKS_MAX)
_LEAST = int64(0)
_MOST = int64(LOTS_MAX)
_STREAM_AGGREGATE = 2
_BOOK_SIDES = SEEN_BIDS | SEEN_ASKS
_TICKER_SIDES = SEEN_TICKER_BID | SEEN_TICKER_ASK
_TRADE_FIELDS = SEEN_PRICE | SEEN_QUANTITY | SEEN_MAKER | SEEN_SYMBOL


@inner
def _spread_decimals(s0: Any) -> None:
    """Give every scanned level the decimals of its side's first place."""
    for side in range(2):
        price_decimals = s0.scan_price_decimals[side]
        lot_decimals = s0.scan_quantity_decimals[side]
        for k in range(1, s0.scan_count[side]):
            price_decimals[k] = price_decimals[0]
            lot_decimals[k] = lot_decimals[0]


@inner
def _levels_to_grid(s0: Any, s: Any) -> int:
    """Convert both scanned sides to the ticks and lots of `s`, in place."""
    if s0.scan_seen & SEEN_UNIFORM != 0:
        is_on_grid = s0.scan_price_decimals[0, 0] == s.price_decimals and s0.scan_quantity_decimals[0, 0] == s.lot_decimals
        if is_on_grid and s.price_step == 1 and s.lot_step == 1:
            return APPLIED
        _spread_decimals(s0)
    for side in range(2):
        count = s0.scan_count[side]
        code = to_grid(count, s0.scan_prices[side], s0.scan_price_decimals[side], s.price_decimals, s.price_step, _TICK_MIN, _TICK_MAX, NO)
        if code != APPLIED:
            return code
        code = to_grid(count, s0.scan_quantities[side], s0.scan_quantity_decimals[side], s.lot_decimals, s.lot_step, _LEAST, _MOST, YES)
        if code != APPLIED:
            return code
    return APPLIED


@inner
def _refuse(s: Any, code: int) -> int:
    if code == OFF_GRID:
        s.off_grid += 1
    else:
        s.malformed += 1
    return code


@inner
def _drop(s: Any) -> None:
    """Empty a book: it awaits a snapshot. Slow feature means stay."""
    clear(s)
    s.phase = PHASE_EMPTY
    s.first_pending = 0
    s.last_update_id = -1
    s.buffered_first_id = -1
    s.buffered_previous_id = -1
    s.crossed_now = 0
    forget_touches(s)
    on_reset(s)


@entry
def drop_book(states: Any, index: int) -> None:
    """Drop one instrument's book after an overflow or a disconnect: levels gone, phase 0, book-derived feature state reset."""
    if 0 <= index < len(states):
        _drop(states[index])


@inner
def _after_levels(s: Any, event_ns: int) -> None:
    follow_touch(s)
    if s.best_bid_tick >= 0 and s.best_ask_tick >= 0 and s.best_bid_tick >= s.best_ask_tick:
        s.crossed += 1
        s.crossed_now = 1
    else:
        s.crossed_now = 0
    if event_ns > 0:
        on_book(s)


# Once for each side, with all that it does to a level: a frame is tens of levels, and a side that is known needs no branch at any of them.
@spliced
def _apply_side(s0: Any, s: Any, side: int) -> None:
    ticks = s0.scan_prices[side]
    quantities = s0.scan_quantities[side]
    window = s.window_lots[side]
    base = s.base_tick
    count = s0.scan_count[side]
    # Neither moves before the frame's last level is in; many levels are too far off to be taken in.
    mid = s.f_mid
    bps_per_tick = s.f_bps_per_tick
    for k in range(min(count, _AHEAD)):
        prefetch_at(window, ticks[k] - base)
    for k in range(count):
        if k + _AHEAD < count:
            prefetch_at(window, ticks[k + _AHEAD] - base)
        tick = ticks[k]
        lots = quantities[k]
        offset = tick - s.base_tick
        old = window[offset] if 0 <= offset < WINDOW else level_lots(s, side, tick)
        if old != lots:
            distance_bps = abs(tick - mid) * bps_per_tick
            if distance_bps <= DISTANCE_MAX_BPS:
                take_level(s, side, tick, old, lots, distance_bps)
            store_level(s, side, tick, lots)


@inlined
def _apply_depth(s0: Any, s: Any, wall_ns: int) -> int:
    s.frames += 1
    needed = SEEN_FIRST_ID | SEEN_FINAL_ID | _BOOK_SIDES
    seen = s0.scan_seen
    event_ns = event_time_ns(s0)
    if seen & needed != needed or event_ns <= 0 or s0.scan_first_id > s0.scan_final_id:
        return _refuse(s, _REFUSED)
    if s.market != SPOT and seen & SEEN_PREVIOUS_ID == 0:
        return _refuse(s, _REFUSED)
    s.depth += 1
    if s.phase != PHASE_SYNCED:
        s.buffered += 1
        if s.buffered_first_id < 0:
            s.buffered_first_id = s0.scan_first_id
            s.buffered_previous_id = s0.scan_previous_id if seen & SEEN_PREVIOUS_ID != 0 else -1
        s.last_depth_wall_ns = max(wall_ns, s.last_depth_wall_ns)
        return BUFFER
    verdict = judge_sequence(s, s0.scan_first_id, s0.scan_final_id, s0.scan_previous_id, seen & SEEN_PREVIOUS_ID != 0)
    if verdict == IGNORED:
        s.ignored += 1
        return IGNORED
    if verdict == GAP:
        s.gaps += 1
        _drop(s)
        return GAP
    code = _levels_to_grid(s0, s)
    if code != APPLIED:
        return _refuse(s, code)
    note_clocks(s, event_ns, wall_ns)
    s.last_depth_wall_ns = max(wall_ns, s.last_depth_wall_ns)
    s.last_depth_event_ns = max(event_ns, s.last_depth_event_ns)
    s.levels += s0.scan_count[0] + s0.scan_count[1]
    on_frame(s, event_ns)
    _apply_side(s0, s, BID_SIDE)
    _apply_side(s0, s, ASK_SIDE)
    s.last_update_id = s0.scan_final_id
    s.first_pending = 0
    judge_trades(s)
    _after_levels(s, event_ns)
    return APPLIED


@inner
def _place_window(s0: Any, s: Any) -> None:
    """Centre the empty book's window on the snapshot's touch."""
    bid = -1
    ask = -1
    for k in range(s0.scan_count[0]):
        bid = max(bid, s0.scan_prices[0, k])
    for k in range(s0.scan_count[1]):
        ask = s0.scan_prices[1, k] if ask < 0 else min(ask, s0.scan_prices[1, k])
    if bid < 0 and ask < 0:
        return
    if bid < 0:
        bid = ask
    if ask < 0:
        ask = bid
    s.base_tick = window_base((bid + ask) >> 1)


@inlined
def _apply_snapshot(s0: Any, s: Any, wall_ns: int) -> int:
    s.frames += 1
    event_ns = event_time_ns(s0)
    if s0.scan_seen & _BOOK_SIDES != _BOOK_SIDES or event_ns < 0:
        return _refuse(s, _REFUSED)
    snapshot_id = s0.scan_snapshot_id
    if s.phase == PHASE_SYNCED and snapshot_id <= s.last_update_id:
        # Nothing new, and to build the book again would cost its deepest levels and the features' state.
        s.ignored += 1
        return IGNORED
    if s.phase != PHASE_SYNCED and is_too_old(s, snapshot_id):
        return SNAPSHOT_TOO_OLD
    code = _levels_to_grid(s0, s)
    if code != APPLIED:
        return _refuse(s, code)
    if s.phase == PHASE_SYNCED:
        _drop(s)
    _place_window(s0, s)
    for side in range(2):
        for k in range(s0.scan_count[side]):
            set_level(s, side, s0.scan_prices[side, k], s0.scan_quantities[side, k])
    s.snapshots += 1
    s.phase = PHASE_SYNCED
    s.first_pending = 1
    s.last_update_id = snapshot_id
    s.buffered_first_id = -1
    s.buffered_previous_id = -1
    if wall_ns > 0:
        s.last_wall_ns = wall_ns
    # A snapshot's own time says when the book was, not how late the stream is: it moves no clock but the event clock.
    s.last_event_ns = max(s.last_event_ns, event_ns)
    if s.last_event_ns > 0:
        on_frame(s, s.last_event_ns)
    _after_levels(s, s.last_event_ns)
    return SNAPSHOT


@inlined
def _apply_trade(s0: Any, s: Any, wall_ns: int) -> int:
    s.frames += 1
    seen = s0.scan_seen
    is_aggregate = s0.scan_event == EVENT_AGGREGATE
    id_bit = SEEN_AGGREGATE_ID if is_aggregate else SEEN_TRADE_ID
    event_ns = event_time_ns(s0)
    if seen & (_TRADE_FIELDS | id_bit) != _TRADE_FIELDS | id_bit or event_ns <= 0:
        return _refuse(s, _REFUSED)
    s0.scan_prices[0, 0] = s0.scan_trade_price
    s0.scan_price_decimals[0, 0] = s0.scan_trade_price_decimals
    s0.scan_quantities[0, 0] = s0.scan_trade_quantity
    s0.scan_quantity_decimals[0, 0] = s0.scan_trade_quantity_decimals
    s0.scan_count[0] = 1
    s0.scan_count[1] = 0
    if s0.scan_trade_price == 0 or s0.scan_trade_quantity == 0:
        s.ignored += 1  # the futures stream carries such lines for transfers that are no trades
        return IGNORED
    code = _levels_to_grid(s0, s)
    if code != APPLIED:
        return _refuse(s, code)
    stream = _STREAM_AGGREGATE if is_aggregate else _STREAM_TRADE
    trade_id = s0.scan_aggregate_id if is_aggregate else s0.scan_trade_id
    if s.trade_stream == 0:
        s.trade_stream = stream
    if s.trade_stream != stream or trade_id <= s.last_trade_id:
        s.ignored += 1
        return IGNORED
    if s.last_trade_id >= 0 and trade_id != s.last_trade_id + 1:
        s.trade_gaps += 1
    note_clocks(s, event_ns, wall_ns)
    tick = s0.scan_prices[0, 0]
    lots = s0.scan_quantities[0, 0]
    sign = -1 if s0.scan_maker != 0 else 1
    s.trade_low = tick if s.trade_low < 0 else min(s.trade_low, tick)
    s.trade_high = max(s.trade_high, tick)
    s.trades += 1
    s.last_trade_id = trade_id
    s.last_trade_tick = tick
    s.last_trade_lots = lots
    s.last_trade_sign = sign
    s.last_trade_event_ns = event_ns
    on_trade(s, event_ns, tick, lots, sign)
    return TRADE


@inner
def _ignore(states: Any, index: int) -> int:
    s = states[max(index, 0)]
    s.frames += 1
    s.ignored += 1
    return IGNORED | ((index if index >= 0 else NO_INSTRUMENT) << INDEX_SHIFT)


@entry
def apply_scanned(states: Any, instrument_hint: int, ts_wall_ns: int) -> int:
    """Judge and apply the frame in record 0's scratch. Returns as `fold` does; UNKNOWN if no known form was scanned, uncounted."""
    s0 = states[0]
    seen = s0.scan_seen
    index = _NOBODY
    if seen & SEEN_SYMBOL != 0:
        index = route(states, s0.scan_symbol, instrument_hint)
    if seen & SEEN_EVENT != 0:
        event = s0.scan_event
        is_depth = event == EVENT_DEPTH
        if not is_depth and event != EVENT_TRADE and event != EVENT_AGGREGATE:
            if event == EVENT_MARK and index >= 0:
                return note_mark(s0, states[index])
            return _ignore(states, index) if is_known(event) else UNKNOWN | (NO_INSTRUMENT << INDEX_SHIFT)
        if seen & SEEN_SYMBOL == 0:
            s0.frames += 1
            return _refuse(s0, _REFUSED) | (NO_INSTRUMENT << INDEX_SHIFT)
        if index < 0 or (is_depth and seen & SEEN_PARTIAL != 0):
            return _ignore(states, index)
        code = _apply_depth(s0, states[index], ts_wall_ns) if is_depth else _apply_trade(s0, states[index], ts_wall_ns)
        return code | (index << INDEX_SHIFT)
    if seen & SEEN_SNAPSHOT_ID != 0:
        if instrument_hint < 0 or instrument_hint >= len(states) or seen & SEEN_ENVELOPE != 0:
            return _ignore(states, _NOBODY)
        return _apply_snapshot(s0, states[instrument_hint], ts_wall_ns) | (instrument_hint << INDEX_SHIFT)
    if seen & SEEN_REPLY != 0 or seen & _TICKER_SIDES == _TICKER_SIDES:
        return _ignore(states, index)
    return UNKNOWN | (NO_INSTRUMENT << INDEX_SHIFT)


@inner
def scan_frame(text: Any, begin: int, end: int, states: Any) -> Any:
    """Scan one frame into record 0's scratch: APPLIED when it may be judged, else the code that says why not, counted."""
    s0 = states[0]
    if end - begin > FRAME_BYTES_MAX:
        s0.frames += 1
        return _refuse(s0, _REFUSED)
    if not scan(text, begin, end, s0):
        s0.slow += 1
        return UNKNOWN
    return APPLIED


@inner
def apply_frame(states: Any, instrument_hint: int, ts_wall_ns: int) -> Any:
    """Judge and apply the scanned frame, as `apply_scanned` does; what needs the slow path is counted."""
    folded = apply_scanned(states, instrument_hint, ts_wall_ns)
    if folded & 255 == UNKNOWN:
        states[0].slow += 1
    return folded


@entry
def fold(frame: bytes, states: Any, instrument_hint: int, ts_wall_ns: int) -> int:
    """Fold one raw frame into the states: scan, route by symbol, sequence rule, book, features.

    `instrument_hint` says whose a depth snapshot is (-1 for streams). Returns `code | index << 8` (see `core.book.codes`); UNKNOWN asks
    for the slow path and has changed nothing but `slow` and scratch. Never raises, whatever the bytes. About a microsecond, plus
    some 30 ns a level.
    """
    if len(states) == 0:
        return UNKNOWN | (NO_INSTRUMENT << INDEX_SHIFT)
    code = scan_frame(pointer_of(frame), _START, len(frame), states)
    folded: int = apply_frame(states, instrument_hint, ts_wall_ns) if code == APPLIED else code | (NO_INSTRUMENT << INDEX_SHIFT)
    return folded


@entry
def fold_many(buffer: bytes, rows: Any, hints: Any, states: Any, start: int, until_wall_ns: int, until_event_ns: int) -> tuple[int, int]:
    """Fold frames `start`… of a block (`rows` as of `recorded_lines`, a hint a frame), exactly as `fold` would one by one.

    Returns `(next_index, folded)`: after the first frame whose code is not APPLIED, TRADE or IGNORED, with what it returned; or, with
    IGNORED and no instrument, at the first frame whose wall time is not below `until_wall_ns`, or before the first depth, trade or snapshot
    of someone followed whose exchange time is above `until_event_ns` (0 or less: no limit), or at the end. A frame that it stops before
    has changed nothing but scratch, of which `scanned_event_ns` tells its time.
    """
    index = start
    text = pointer_of(buffer)
    count = min(rows.shape[1], len(hints))
    size = len(buffer)
    if len(states) == 0:
        return index, UNKNOWN | (NO_INSTRUMENT << INDEX_SHIFT)
    while index < count and rows[WALLS, index] < until_wall_ns:
        begin = min(max(rows[BEGINS, index], 0), size)
        end = min(max(rows[ENDS, index], begin), size)
        hint = hints[index]
        folded = scan_frame(text, begin, end, states) if rows[PACKED, index] == 0 else unpack(text, begin, end, states)
        if folded != APPLIED:
            return index + 1, folded | (NO_INSTRUMENT << INDEX_SHIFT)
        if until_event_ns > 0 and scanned_event_ns(states, hint) > until_event_ns:
            break
        folded = apply_frame(states, hint, rows[WALLS, index])
        index += 1
        code = folded & 255
        if code != APPLIED and code != TRADE and code != IGNORED:
            return index, folded
    return index, IGNORED | (NO_INSTRUMENT << INDEX_SHIFT)
