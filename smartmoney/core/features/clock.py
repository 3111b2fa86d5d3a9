"""Kernels that move a record's features through exchange time: decay, coverage, the one-second grid of mids, the aggressor's order.

Invariants: time never goes back (an earlier stamp counts as now); a value that held during an interval is what the interval contributes,
so nothing here reads the book, which may already have changed; the cost does not depend on how far time moves.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.slots import (
    BARS_120,
    BARS_600,
    BOOK_COVER_1,
    BOOK_COVER_10,
    BOOK_COVER_120,
    DECAY_RATES,
    DEPTH_600,
    H1,
    H10,
    H120,
    H600,
    KEPT_COVER_120,
    KEPT_COVER_600,
    LARGE_120,
    MERGE_NS,
    PATH_120,
    QUANTILE,
    QUANTILE_ORDERS,
    QUANTILE_STEP_MAX,
    QUANTILE_STEP_MIN,
    RETURNS_120,
    SECOND_NS,
    SLOT_HALF_LIFE,
    SLOTS,
    SQUARES_120,
    SQUARES_600,
    TRADE_COVER_10,
    TRADE_COVER_120,
)

_RATE_120 = float(DECAY_RATES[H120])
_RATE_600 = float(DECAY_RATES[H600])


@inner
def bps_base(s: Any, price: float) -> Any:
    """Return the price that basis points are taken against: `price`, or the record's fixed reference where it has one."""
    return s.f_reference if s.f_reference > 0.0 else price


@inner
def notional(s: Any, lots: float, price: float) -> Any:
    """Return the quote value of lots at a price in ticks."""
    return lots * (s.f_lot_value + s.f_lot_value_per_tick * bps_base(s, price))


@inner
def keep_factors(s: Any, elapsed_ns: int) -> None:
    """Write 2^(-elapsed / half-life) of every half-life to the record's scratch."""
    elapsed_s = elapsed_ns * 1e-9
    for k in range(len(DECAY_RATES)):
        s.f_keep[k] = math.exp(-DECAY_RATES[k] * elapsed_s)


@inner
def close_order(s: Any) -> None:
    """Count the aggressor's order in hand, now that no fill of it can follow, and move the quantile of order sizes."""
    sign = s.f_order_sign
    size = s.f_order_notional
    s.f_order_sign = 0
    s.f_order_events += 1
    log_size = math.log(size)
    if s.f_order_events == 1:
        s.f_quantile = log_size
        return
    above = log_size > s.f_quantile
    if above and size > s.f_large_floor:
        age_s = (s.f_now_ns - s.f_order_ns) * 1e-9
        s.f_sums[LARGE_120] += sign * size * math.exp(-_RATE_120 * age_s)
    step = min(QUANTILE_STEP_MAX, max(QUANTILE_STEP_MIN, QUANTILE_ORDERS / s.f_order_events))
    s.f_quantile += step * QUANTILE if above else -step * (1.0 - QUANTILE)


@inner
def _cross_seconds(s: Any, now_ns: int, ts_ns: int) -> None:
    """Add one return per whole second crossed; the mid that held before the first is the mid at all. Sums are already at `ts_ns`."""
    first = now_ns // SECOND_NS + 1
    count = ts_ns // SECOND_NS - first + 1
    if count <= 0:
        return
    mid = s.f_mid
    grid = s.f_grid_mid
    s.f_grid_mid = mid
    if math.isnan(mid):
        return
    sums = s.f_sums
    if not math.isnan(grid):
        r = (mid - grid) / bps_base(s, grid) * 1e4
        age_s = (ts_ns - first * SECOND_NS) * 1e-9
        w120 = math.exp(-_RATE_120 * age_s)
        w600 = math.exp(-_RATE_600 * age_s)
        sums[SQUARES_120] += r * r * w120
        sums[SQUARES_600] += r * r * w600
        sums[RETURNS_120] += r * w120
        sums[PATH_120] += abs(r) * w120
        sums[BARS_120] += w120
        sums[BARS_600] += w600
    if count > 1:
        # The other seconds saw no move: only their number counts, a geometric sum.
        age_s = (ts_ns - (first + count - 1) * SECOND_NS) * 1e-9
        sums[BARS_120] += math.exp(-_RATE_120 * age_s) * math.expm1(-_RATE_120 * (count - 1)) / math.expm1(-_RATE_120)
        sums[BARS_600] += math.exp(-_RATE_600 * age_s) * math.expm1(-_RATE_600 * (count - 1)) / math.expm1(-_RATE_600)


@inner
def advance(s: Any, ts_ns: int) -> Any:
    """Move a record's features to a time and return it; a time before the latest counts as the latest."""
    now_ns = s.f_now_ns
    if now_ns == 0:
        s.f_now_ns = max(ts_ns, 1)
        s.f_blind = 0
        return s.f_now_ns
    ts_ns = max(ts_ns, now_ns)
    if s.f_order_sign != 0 and ts_ns - s.f_order_ns > MERGE_NS:
        close_order(s)
    if ts_ns > now_ns:
        keep_factors(s, ts_ns - now_ns)
        keep = s.f_keep
        sums = s.f_sums
        for i in range(SLOTS):
            sums[i] *= keep[SLOT_HALF_LIFE[i]]
        if s.f_valid != 0:
            sums[BOOK_COVER_1] += 1.0 - keep[H1]
            sums[BOOK_COVER_10] += 1.0 - keep[H10]
            sums[BOOK_COVER_120] += 1.0 - keep[H120]
            sums[KEPT_COVER_120] += 1.0 - keep[H120]
            sums[KEPT_COVER_600] += 1.0 - keep[H600]
            sums[DEPTH_600] += (1.0 - keep[H600]) * 0.5 * (s.f_bid_lots + s.f_ask_lots)
        if s.f_blind == 0:
            sums[TRADE_COVER_10] += 1.0 - keep[H10]
            sums[TRADE_COVER_120] += 1.0 - keep[H120]
        _cross_seconds(s, now_ns, ts_ns)
        s.f_now_ns = ts_ns
    s.f_blind = 0
    return ts_ns
