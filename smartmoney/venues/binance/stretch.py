"""Fold a row of frames in one compiled call, up to the next moment at which Python has to look.

Invariants: each frame is folded exactly as `fold` would; a frame after which somebody could have acted (a code that is not everyday, a
order that fills or triggers, a mark beyond its bounds, a request that arrives, another time of funding) is the last one; a tick that could
do anything is not passed over, but for decisions that are quiet (`core.models.quiet`), which are taken here. Orders that rest move up in
their queues meanwhile.
Stopping too early costs time and changes nothing. Layout: `core.book.stretch`.
"""

# Chains of comparisons compile to branches; membership in a tuple would compile to a loop over a copy of it.
# ruff: noqa: PLR1714

from typing import Any

from smartmoney.core.book.codes import APPLIED, IGNORED, INDEX_SHIFT, NO_INSTRUMENT, TRADE
from smartmoney.core.book.kernel import level_lots
from smartmoney.core.book.queue import move_up
from smartmoney.core.book.stretch import NOTHING
from smartmoney.core.book.typed import BID_SIDE, entry, inner, int64
from smartmoney.core.book.words import pointer_of
from smartmoney.core.models.quiet import take_tick
from smartmoney.venues.binance.kernel import apply_frame, scan_frame
from smartmoney.venues.binance.packed import unpack
from smartmoney.venues.recorded_lines import PACKED

_NO_HINT = int64(-1)
_NO_LOTS = int64(0)
_NEVER = int64(NOTHING)


@inner
def _is_stale(c: Any, feeds: Any, now_ns: int) -> bool:
    """Tell whether a watched book is too old to be trusted."""
    if c.watched != 0:
        for i in range(len(feeds)):
            if feeds[i].is_watched != 0 and now_ns - feeds[i].depth_ns > c.fresh_ns:
                return True
    return False


@inner
def _is_left_behind(feed: Any, s: Any, now_ns: int) -> bool:
    """Tell whether the touch has left an entry behind that has rested for as long as it stays at a price."""
    if now_ns < feed.chase_ns:
        return False
    if feed.chase_side == BID_SIDE:
        return bool(s.best_bid_tick > feed.chase_tick)
    return bool(s.best_ask_tick < feed.chase_tick)


@inner
def _pass_ticks(c: Any, feeds: Any, states: Any, desk: Any, model: Any, until_ns: int) -> bool:
    """Pass over the ticks up to a time; False, at the first one that has to be run."""
    if until_ns - c.tick_ns > c.hole_ns:
        return False
    while c.tick_ns <= until_ns:
        now = c.tick_ns
        if now >= c.tick_due_ns or _is_stale(c, feeds, now):
            return False
        heard = _NEVER
        for i in range(len(feeds)):
            depth_ns = feeds[i].depth_ns
            is_quiet = feeds[i].is_probed != 0 and depth_ns >= 0 and now - depth_ns > c.quiet_ns
            if states[i].crossed_now != 0 or is_quiet or _is_left_behind(feeds[i], states[i], now):
                return False
            heard = max(heard, feeds[i].frame_ns)
        if heard >= 0 and now - heard > c.silence_ns:
            return False
        if not take_tick(c, feeds, states, desk, model):
            return False
        c.ticks += 1
        c.tick_ns += c.tick_step_ns
    return True


@inner
def _is_met(w: Any, s: Any, is_trade: bool) -> bool:
    """Tell whether an order fills or triggers, or may: by the touch, or by a trade that goes through its price or uses up its queue."""
    touch = s.best_bid_tick if w.touch_side == BID_SIDE else s.best_ask_tick
    if (touch - w.tick) * w.direction >= 0:
        return True
    if not is_trade:
        return False
    beyond = (s.last_trade_tick - w.tick) * w.direction
    if beyond != 0 or w.shown < 0:
        return bool(beyond >= 0)
    return bool(s.last_trade_sign == w.direction and s.last_trade_lots > w.ahead)


@inner
def _move_up(s: Any, watches: Any, index: int, is_trade: bool) -> None:
    """Let the orders that rest in a market move up in their queues after a frame that met none of them."""
    for k in range(len(watches)):
        w = watches[k]
        if w.instrument == index and w.shown >= 0:
            lots = _NO_LOTS
            if is_trade:
                if s.last_trade_tick != w.tick or s.last_trade_sign != w.direction:
                    continue  # a trade alone changes nothing that is shown
                lots = s.last_trade_lots
            shown = level_lots(s, w.side, w.tick)
            w.ahead, w.traded = move_up(w.ahead, w.shown, w.traded, lots, shown, w.is_even)
            w.shown = shown


@inner
def _is_touched(c: Any, feed: Any, s: Any, watches: Any, index: int, is_trade: bool) -> bool:
    """Tell whether a frame that moved a watched market could have touched an order or a mark in it."""
    bid = s.best_bid_tick
    ask = s.best_ask_tick
    if not 0 < bid < ask or not (s.lag_ns <= c.lag_max and s.trade_outside <= c.outside_max):
        return True
    if feed.mark_side >= 0 and (bid != feed.bid_tick or ask != feed.ask_tick):
        mark = bid if feed.mark_side == BID_SIDE else ask
        if not feed.mark_min <= mark <= feed.mark_max:
            return True
    for k in range(len(watches)):
        w = watches[k]
        if w.instrument == index and _is_met(w, s, is_trade):
            return True
    return False


@entry
def fold_stretch(buffer: bytes, frames: Any, control: Any, feeds: Any, watches: Any, states: Any, desk: Any, model: Any) -> None:
    """Fold `frames` (rows as of `recorded_lines`) from `control.at` on; what came of it is in `control`, `feeds` and `watches`.

    `desk` and `model` are those of `core.models.quiet.take_tick`; what came of quiet decisions is there.
    """
    c = control[0]
    text = pointer_of(buffer)
    size = len(buffer)
    c.folded = NOTHING
    c.ticks = 0
    c.applied = 0
    c.trades = 0
    c.ignored = 0
    c.last_ns = NOTHING
    c.moved_ns = NOTHING
    end = min(c.end, frames.shape[1])
    turns = states[0].funding_turns
    while c.at < end:
        wall_ns = frames[2, c.at]
        if c.tick_ns <= wall_ns and not _pass_ticks(c, feeds, states, desk, model, wall_ns):
            return
        start = min(max(frames[0, c.at], 0), size)
        stop = min(max(frames[1, c.at], start), size)
        folded = scan_frame(text, start, stop, states) if frames[PACKED, c.at] == 0 else unpack(text, start, stop, states)
        c.at += 1
        if folded != APPLIED:
            c.folded = folded | (NO_INSTRUMENT << INDEX_SHIFT)
            return
        folded = apply_frame(states, _NO_HINT, wall_ns)
        code = folded & 255
        index = folded >> INDEX_SHIFT
        if c.each != 0 or (code != APPLIED and code != TRADE and code != IGNORED):
            c.folded = folded
            return
        if code != IGNORED:
            is_watched = c.watched != 0 and feeds[index].is_watched != 0
            is_late = wall_ns >= c.act_ns or _is_stale(c, feeds, wall_ns)
            if is_late or (is_watched and _is_touched(c, feeds[index], states[index], watches, index, code == TRADE)):
                c.folded = folded
                return
            if is_watched:
                _move_up(states[index], watches, index, code == TRADE)
                feeds[index].bid_tick = states[index].best_bid_tick
                feeds[index].ask_tick = states[index].best_ask_tick
            c.moved_ns = wall_ns
        elif states[0].funding_turns != turns:
            c.folded = folded
            return
        if code == APPLIED:
            c.applied += 1
            feeds[index].depth_ns = wall_ns
        elif code == TRADE:
            c.trades += 1
            feeds[index].trade_id = states[index].last_trade_id
        else:
            c.ignored += 1
        if index < len(feeds):
            feeds[index].frame_ns = wall_ns
        c.last_ns = wall_ns
