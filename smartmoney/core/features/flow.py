"""Kernels of what flows: level changes split into adds, cancels and trades; order-flow imbalance; public trades and large orders."""

import math
from typing import Any

from smartmoney.core.book.typed import inlined, inner
from smartmoney.core.features.clock import advance, close_order, notional
from smartmoney.core.features.slots import (
    ADD_ASK_10,
    ADD_ASK_120,
    ADD_BID_10,
    ADD_BID_120,
    CANCEL_ASK_10,
    CANCEL_BID_10,
    COUNT_10,
    DISTANCE_10,
    DISTANCE_MAX_BPS,
    DISTANCE_SCALE_BPS,
    FLOW_10,
    FLOW_120,
    MERGE_NS,
    NEAR_BPS,
    OFI_1,
    OFI_10,
    OFI_120,
    PENDING_MAX,
    PENDING_NS,
    VOLUME_10,
    VOLUME_120,
)


@inner
def _take_traded(s: Any, side: int, tick: int, lots: int) -> int:
    """Return how many of `lots` that left a price were traded there lately, and use those trades up. At most `PENDING_MAX` steps."""
    taken = 0
    at = s.f_pending_head
    for _ in range(s.f_pending_count):
        if s.f_pending_tick[at] == tick and s.f_pending_side[at] == side:
            part = min(s.f_pending_lots[at], lots - taken)
            s.f_pending_lots[at] -= part
            taken += part
            if taken == lots:
                break
        at = at + 1 if at + 1 < PENDING_MAX else 0
    return taken


@inlined
def change_level(s: Any, side: int, tick: int, old_lots: int, new_lots: int) -> None:
    """Note one level's change, weighed by its distance from the mid before the frame."""
    distance_bps = abs(tick - s.f_mid) * s.f_bps_per_tick
    # Written so that NaN (no mid) leaves, too.
    if not distance_bps <= DISTANCE_MAX_BPS:
        return
    change = new_lots - old_lots
    s.f_new_distance[side] += change * math.exp(-distance_bps / DISTANCE_SCALE_BPS)
    if distance_bps > NEAR_BPS:
        return
    if change > 0:
        s.f_new_add[side] += change
    elif change < 0:
        s.f_new_cancel[side] += -change - _take_traded(s, side, tick, -change)


@inner
def expire_pending(s: Any, ts_ns: int) -> None:
    """Forget trades too old to explain a smaller queue."""
    while s.f_pending_count > 0 and ts_ns - s.f_pending_ns[s.f_pending_head] > PENDING_NS:
        s.f_pending_head = s.f_pending_head + 1 if s.f_pending_head + 1 < PENDING_MAX else 0
        s.f_pending_count -= 1


@inner
def take_over_changes(s: Any) -> None:
    """Move the frame's level changes into the decayed sums, which are at the frame's time."""
    sums = s.f_sums
    sums[DISTANCE_10] += s.f_new_distance[0] - s.f_new_distance[1]
    sums[ADD_BID_10] += s.f_new_add[0]
    sums[ADD_ASK_10] += s.f_new_add[1]
    sums[ADD_BID_120] += s.f_new_add[0]
    sums[ADD_ASK_120] += s.f_new_add[1]
    sums[CANCEL_BID_10] += s.f_new_cancel[0]
    sums[CANCEL_ASK_10] += s.f_new_cancel[1]
    drop_changes(s)


@inner
def drop_changes(s: Any) -> None:
    """Empty the frame's level changes."""
    for side in range(2):
        s.f_new_distance[side] = 0.0
        s.f_new_add[side] = 0.0
        s.f_new_cancel[side] = 0.0


@inner
def add_imbalance(s: Any, bid_tick: int, bid_lots: int, ask_tick: int, ask_lots: int) -> None:
    """Add one event of level-1 order-flow imbalance (Cont, Kukanov, Stoikov 2014): the new top against the one before."""
    e = 0
    if bid_tick >= s.f_bid_tick:
        e += bid_lots
    if bid_tick <= s.f_bid_tick:
        e -= s.f_bid_lots
    if ask_tick <= s.f_ask_tick:
        e -= ask_lots
    if ask_tick >= s.f_ask_tick:
        e += s.f_ask_lots
    sums = s.f_sums
    sums[OFI_1] += e
    sums[OFI_10] += e
    sums[OFI_120] += e


@inner
def _add_pending(s: Any, ts_ns: int, side: int, tick: int, lots: int) -> None:
    if s.f_pending_count == PENDING_MAX:
        s.f_pending_head = s.f_pending_head + 1 if s.f_pending_head + 1 < PENDING_MAX else 0
        s.f_pending_count -= 1
    at = (s.f_pending_head + s.f_pending_count) % PENDING_MAX
    s.f_pending_side[at] = side
    s.f_pending_tick[at] = tick
    s.f_pending_lots[at] = lots
    s.f_pending_ns[at] = ts_ns
    s.f_pending_count += 1


@inlined
def add_trade(s: Any, ts_event_ns: int, tick: int, lots: int, sign: int) -> None:
    """Count one public trade and join it to the aggressor's order in hand: same side, within 10 ms of its last fill, price not better."""
    if tick <= 0 or lots <= 0 or sign == 0:
        return
    now_ns = advance(s, ts_event_ns)
    expire_pending(s, now_ns)
    _add_pending(s, now_ns, 1 if sign > 0 else 0, tick, lots)
    value = notional(s, float(lots), float(tick))
    sums = s.f_sums
    sums[FLOW_10] += sign * value
    sums[FLOW_120] += sign * value
    sums[VOLUME_10] += value
    sums[VOLUME_120] += value
    sums[COUNT_10] += 1.0
    s.f_trade_events += 1
    # `advance` has closed an order whose last fill is too old.
    if s.f_order_sign == sign and (tick - s.f_order_tick) * sign >= 0 and now_ns - s.f_order_ns <= MERGE_NS:
        s.f_order_notional += value
    else:
        if s.f_order_sign != 0:
            close_order(s)
        s.f_order_sign = sign
        s.f_order_notional = value
    s.f_order_tick = tick
    s.f_order_ns = now_ns
