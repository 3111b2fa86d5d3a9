"""The features' hooks, called by a venue's fold in the order of events, and the read that turns a record into one row.

Call `on_level` per changed level before the change is written (only while the book is synced), `on_book` after a depth frame or a
snapshot was applied, `on_trade` per public trade, `on_reset` when the book is dropped. Time is exchange time alone; a stamp that goes back
counts as the latest one. Nothing here allocates or raises.
"""

import math
from typing import Any

from smartmoney.core.book.kernel import level_lots
from smartmoney.core.book.typed import ASK_SIDE, BID_SIDE, entry, inlined
from smartmoney.core.features.clock import advance, bps_base
from smartmoney.core.features.flow import add_imbalance, add_trade, change_level, drop_changes, expire_pending, take_over_changes
from smartmoney.core.features.liquidity import take_samples
from smartmoney.core.features.row import read_features, read_row
from smartmoney.core.features.slots import SLOTS_RESET
from smartmoney.core.features.state import configure

__all__ = ["configure", "on_book", "on_level", "on_reset", "on_trade", "read_features", "read_row"]


@entry
def on_level(s: Any, side: int, tick: int, old_lots: int, new_lots: int) -> None:
    """Note one level's change, before it is written. `side` 0 bid, 1 ask."""
    change_level(s, side, tick, old_lots, new_lots)


@inlined
def on_book(s: Any, ts_event_ns: int) -> None:
    """Take in a book frame, after it was applied. A top with one side missing, or crossed or locked, is no top."""
    now_ns = advance(s, ts_event_ns)
    bid_tick = s.best_bid_tick
    ask_tick = s.best_ask_tick
    if not 0 < bid_tick < ask_tick:
        s.f_valid = 0
        s.f_mid = math.nan
        s.f_bps_per_tick = math.nan
        drop_changes(s)
        expire_pending(s, now_ns)
        return
    bid_lots = level_lots(s, BID_SIDE, bid_tick)
    ask_lots = level_lots(s, ASK_SIDE, ask_tick)
    if s.f_valid != 0:
        add_imbalance(s, bid_tick, bid_lots, ask_tick, ask_lots)
        take_over_changes(s)
        s.f_book_events += 1
        s.f_book_events_kept += 1
    else:
        drop_changes(s)
    s.f_valid = 1
    s.f_bid_tick = bid_tick
    s.f_ask_tick = ask_tick
    s.f_bid_lots = bid_lots
    s.f_ask_lots = ask_lots
    s.f_mid = 0.5 * (bid_tick + ask_tick)
    s.f_bps_per_tick = 1e4 / bps_base(s, s.f_mid)
    expire_pending(s, now_ns)
    take_samples(s, now_ns)


@entry
def on_trade(s: Any, ts_event_ns: int, tick: int, lots: int, sign: int) -> None:
    """Take in one public trade. `sign` +1: the buyer was the aggressor. Without price, size or sign it is no trade and changes nothing."""
    add_trade(s, ts_event_ns, tick, lots, sign)


@entry
def on_reset(s: Any) -> None:
    """Forget what was derived from a book that is no longer trusted; slow means stay, and do not count the time until the next event."""
    for i in range(SLOTS_RESET):
        s.f_sums[i] = 0.0
    s.f_blind = 1
    s.f_book_events = 0
    s.f_valid = 0
    s.f_mid = math.nan
    s.f_bps_per_tick = math.nan
    s.f_grid_mid = math.nan
    drop_changes(s)
    s.f_pending_count = 0
    s.f_imbalance_due_ns = 0
    s.f_imbalance_start_ns = 0
    s.f_imbalance_last_ns = 0
    s.f_imbalance_sum = 0.0
    s.f_imbalance_weight = 0.0
    s.f_imbalance_count = 0
    s.f_present = -1
