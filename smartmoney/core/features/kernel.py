"""The features' hooks, called by a venue's fold in the order of events.

Per applied depth frame: `on_frame` first, then `on_level` per changed level before the change is written (only while the book is synced),
then `on_book`. A snapshot: `on_frame`, `on_book`. `on_trade` per public trade, `on_reset` when the book is dropped. Time is exchange time
alone; a stamp that goes back counts as the latest one. Nothing here allocates or raises.
"""

import math
from typing import Any

from smartmoney.core.book.kernel import level_lots
from smartmoney.core.book.typed import ASK_SIDE, BID_SIDE, entry, inlined, inner, spliced
from smartmoney.core.features.basis import bps_base, notional
from smartmoney.core.features.book_changes import (
    bucket_of,
    expire_pending,
    frame_book_changes,
    level_book_changes,
    reset_book_changes,
    take_traded,
    trade_book_changes,
)
from smartmoney.core.features.clock import advance
from smartmoney.core.features.clocks import reset_clocks
from smartmoney.core.features.horizons import COVER_BOOK, DISTANCE_MAX_BPS, NEAR_BPS
from smartmoney.core.features.icebergs import frame_icebergs, reset_icebergs, trade_icebergs
from smartmoney.core.features.imbalance import reset_imbalance, sample_imbalance
from smartmoney.core.features.liquidity import reset_liquidity, sample_liquidity
from smartmoney.core.features.microprice import top_microprice
from smartmoney.core.features.order_flow import book_order_flow, frame_order_flow, level_order_flow, reset_order_flow
from smartmoney.core.features.orders import join_order
from smartmoney.core.features.refills import reset_refills
from smartmoney.core.features.resilience import forget_depletions, frame_resilience, reset_resilience
from smartmoney.core.features.trade_flow import trade_trade_flow
from smartmoney.core.features.vpin import trade_vpin
from smartmoney.core.features.walls import level_walls, reset_walls, trade_walls


@entry
def on_frame(s: Any, ts_event_ns: int) -> None:
    """Begin a book frame: move to its time, before any of its levels."""
    expire_pending(s, advance(s, ts_event_ns))


@spliced
def take_level(s: Any, side: int, tick: int, old_lots: int, new_lots: int, distance_bps: float) -> None:
    """Do `on_level` at a distance that is known, and within `DISTANCE_MAX_BPS`."""
    change = new_lots - old_lots
    level_order_flow(s, side, change, distance_bps)
    if distance_bps > NEAR_BPS:
        return
    traded = take_traded(s, side, tick, -change) if change < 0 else 0
    bucket = bucket_of(distance_bps)
    level_book_changes(s, side, bucket, change, traded)
    level_walls(s, side, tick, old_lots, new_lots, traded, bucket)


@entry
def on_level(s: Any, side: int, tick: int, old_lots: int, new_lots: int) -> None:
    """Take in one level's change, before it is written, by its distance from the mid before the frame. `side` 0 bid, 1 ask."""
    distance_bps = abs(tick - s.f_mid) * s.f_bps_per_tick
    # NaN (no mid) is not within.
    if distance_bps <= DISTANCE_MAX_BPS:
        take_level(s, side, tick, old_lots, new_lots, distance_bps)


@inner
def _lose_top(s: Any) -> None:
    s.f_valid = 0
    s.f_mid = math.nan
    s.f_bps_per_tick = math.nan


@inlined
def on_book(s: Any) -> None:
    """End a book frame, after it was applied. A top with one side missing, or crossed or locked, is no top."""
    frame_order_flow(s)
    frame_book_changes(s)
    bid_tick = s.best_bid_tick
    ask_tick = s.best_ask_tick
    if not 0 < bid_tick < ask_tick:
        _lose_top(s)
        forget_depletions(s)
        return
    bid_lots = level_lots(s, BID_SIDE, bid_tick)
    ask_lots = level_lots(s, ASK_SIDE, ask_tick)
    book_order_flow(s)
    if s.f_valid != 0:
        top_microprice(s, bid_tick, bid_lots, ask_tick, ask_lots)
        s.f_book_events += 1
        s.f_book_events_kept += 1
    s.f_valid = 1
    s.f_bid_tick = bid_tick
    s.f_ask_tick = ask_tick
    s.f_bid_lots = bid_lots
    s.f_ask_lots = ask_lots
    s.f_mid = 0.5 * (bid_tick + ask_tick)
    s.f_bps_per_tick = 1e4 / bps_base(s, s.f_mid)
    frame_icebergs(s)
    frame_resilience(s, s.f_now_ns)
    sample_liquidity(s, s.f_now_ns)
    sample_imbalance(s, s.f_now_ns)


@entry
def on_trade(s: Any, ts_event_ns: int, tick: int, lots: int, sign: int) -> None:
    """Take in one public trade. `sign` +1: the buyer was the aggressor. Without price, size or sign it is no trade and changes nothing."""
    if tick <= 0 or lots <= 0 or sign == 0:
        return
    now_ns = advance(s, ts_event_ns)
    expire_pending(s, now_ns)
    value = notional(s, float(lots), float(tick))
    s.f_trade_events += 1
    s.f_bar_flow += sign * value
    s.f_bar_volume += value
    trade_book_changes(s, now_ns, tick, lots, sign)
    trade_trade_flow(s, tick, sign, value)
    trade_icebergs(s, tick, lots, sign, value)
    trade_walls(s, sign)
    trade_vpin(s, sign, value)
    join_order(s, now_ns, tick, lots, sign, value)


@entry
def on_reset(s: Any) -> None:
    """Forget what was derived from a book that is no longer trusted; slow means stay, and do not count the time until the next event."""
    s.f_cover[COVER_BOOK, :] = 0.0
    s.f_blind = 1
    s.f_epoch += 1
    s.f_book_events = 0
    s.f_grid_mid = math.nan
    s.f_ten_mid = math.nan
    _lose_top(s)
    reset_order_flow(s)
    reset_book_changes(s)
    reset_imbalance(s)
    reset_liquidity(s)
    reset_icebergs(s)
    reset_refills(s)
    reset_clocks(s)
    reset_walls(s)
    reset_resilience(s)
