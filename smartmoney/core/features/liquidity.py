"""Kernels of samples taken from the book at intervals, each at the first book frame at which it is due.

They feed the weighted imbalance, the spread's median, market-maker presence, and the references of the stress score.
"""

import math
from typing import Any

from smartmoney.core.book.kernel import lots_within, top_levels
from smartmoney.core.book.state import WINDOW
from smartmoney.core.book.typed import ASK_SIDE, BID_SIDE, inlined, inner, int64
from smartmoney.core.features.clock import bps_base, notional
from smartmoney.core.features.slots import (
    ADD_ASK_10,
    ADD_BID_10,
    BOOK_COVER_10,
    CANCEL_ASK_10,
    CANCEL_BID_10,
    DECAY_RATES,
    DEPTH_BPS,
    H1800,
    NEAR_1800,
    PRESENCE_SHARE,
    PRESENT_120,
    REF_CANCEL,
    REF_DEPTH,
    REF_SPREAD,
    RING_MAX,
    SAMPLES_120,
    SAMPLES_1800,
    SECOND_NS,
    TOGGLED_120,
    WARM_COVER_10,
)

_RATE_1800 = float(DECAY_RATES[H1800])
_SPREAD = int64(REF_SPREAD)
_DEPTH = int64(REF_DEPTH)
_CANCEL = int64(REF_CANCEL)


@inner
def lots_near(s: Any, side: int) -> Any:
    """Return the lots of one side within 5 bps of the mid, bounds included. The book must have a valid top."""
    mid = 0.5 * (s.best_bid_tick + s.best_ask_tick)
    reach = bps_base(s, mid) * (DEPTH_BPS * 1e-4)
    if side == 0:
        first, last = math.ceil(mid - reach), s.best_bid_tick
    else:
        first, last = s.best_ask_tick, math.floor(mid + reach)
    first -= s.base_tick
    last -= s.base_tick
    if first < 0 or last >= WINDOW:
        return lots_within(s, side, first + s.base_tick if side == 0 else last + s.base_tick)
    # Inside the dense window a plain sum of the slice is many times cheaper than a walk from level to level.
    total = 0
    for lots in s.window_lots[side, first : last + 1]:
        total += lots
    return total


@inlined
def value_at_mid(s: Any, lots: int) -> Any:
    """Return the quote value of lots at the mid. The book must have a valid top."""
    return notional(s, float(lots), 0.5 * (s.best_bid_tick + s.best_ask_tick))


@inner
def depth_of_levels(s: Any, side: int, levels: int) -> Any:
    """Return the quote value, at the mid, of the best levels of one side."""
    count = top_levels(s, side, levels, s.f_level_ticks[side], s.f_level_lots[side])
    lots = 0
    for k in range(count):
        lots += s.f_level_lots[side, k]
    return value_at_mid(s, lots)


@inlined
def spread_bps(s: Any) -> Any:
    """Return the spread of a valid top."""
    mid = 0.5 * (s.best_bid_tick + s.best_ask_tick)
    return (s.best_ask_tick - s.best_bid_tick) / bps_base(s, mid) * 1e4


@inner
def cancel_add_ratio(s: Any, keep: float) -> Any:
    """Return lots cancelled per lot added near the mid, with the sums decayed by a further factor; one lot keeps it finite."""
    sums = s.f_sums
    cancelled = (sums[CANCEL_BID_10] + sums[CANCEL_ASK_10]) * keep
    added = (sums[ADD_BID_10] + sums[ADD_ASK_10]) * keep
    return cancelled / (added + 1.0)


@inner
def _add_reference(s: Any, which: int, now_ns: int, x: float) -> None:
    """Take a sample into an exponentially weighted mean and variance (West's update: no sum of squares that could cancel)."""
    keep = math.exp(-_RATE_1800 * (now_ns - s.f_ref_last_ns[which]) * 1e-9) if s.f_ref_count[which] > 0 else 0.0
    weight = keep * s.f_ref_weight[which] + 1.0
    off = x - s.f_ref_mean[which]
    mean = s.f_ref_mean[which] + off / weight
    s.f_ref_squares[which] = keep * s.f_ref_squares[which] + off * (x - mean)
    s.f_ref_mean[which] = mean
    s.f_ref_weight[which] = weight
    s.f_ref_last_ns[which] = now_ns
    s.f_ref_count[which] += 1


@inner
def z_score(s: Any, which: int, x: float, scale_min: float) -> Any:
    """Return how many standard deviations `x` lies above its reference; the deviation is at least `scale_min`."""
    deviation = math.sqrt(max(0.0, s.f_ref_squares[which] / s.f_ref_weight[which]))
    return (x - s.f_ref_mean[which]) / max(deviation, scale_min)


@inner
def _sample_liquidity(s: Any, now_ns: int) -> None:
    bid = lots_near(s, BID_SIDE)
    ask = lots_near(s, ASK_SIDE)
    _add_reference(s, _SPREAD, now_ns, spread_bps(s))
    _add_reference(s, _DEPTH, now_ns, math.log1p(value_at_mid(s, bid) + value_at_mid(s, ask)))
    sums = s.f_sums
    if sums[BOOK_COVER_10] >= WARM_COVER_10:
        _add_reference(s, _CANCEL, now_ns, cancel_add_ratio(s, 1.0))
    sums[NEAR_1800] += 0.5 * (bid + ask)
    sums[SAMPLES_1800] += 1.0
    enough = PRESENCE_SHARE * sums[NEAR_1800] / sums[SAMPLES_1800]
    present = 1 if min(bid, ask) >= enough and bid > 0 and ask > 0 else 0
    sums[SAMPLES_120] += 1.0
    sums[PRESENT_120] += present
    if s.f_present >= 0 and s.f_present != present:
        sums[TOGGLED_120] += 1.0
    s.f_present = present


@inner
def _sample_imbalance(s: Any, now_ns: int) -> None:
    levels = s.f_imbalance_levels
    bids = top_levels(s, BID_SIDE, levels, s.f_level_ticks[0], s.f_level_lots[0])
    asks = top_levels(s, ASK_SIDE, levels, s.f_level_ticks[1], s.f_level_lots[1])
    difference = 0.0
    total = 0.0
    for i in range(max(bids, asks)):
        bid = s.f_level_lots[0, i] if i < bids else 0
        ask = s.f_level_lots[1, i] if i < asks else 0
        weight = math.exp(-s.f_imbalance_rate * i)
        difference += weight * (bid - ask)
        total += weight * (bid + ask)
    if s.f_imbalance_count == 0:
        s.f_imbalance_start_ns = now_ns
        keep = 0.0
    else:
        elapsed_s = (now_ns - s.f_imbalance_last_ns) * 1e-9
        # An interval of 0 means: at every book frame, one factor per frame.
        steps = elapsed_s / s.f_imbalance_interval_s if s.f_imbalance_interval_s > 0.0 else 1.0
        keep = s.f_imbalance_factor**steps
    s.f_imbalance_sum = keep * s.f_imbalance_sum + difference / total
    s.f_imbalance_weight = keep * s.f_imbalance_weight + 1.0
    s.f_imbalance_ring[s.f_imbalance_count % RING_MAX] = s.f_imbalance_sum / s.f_imbalance_weight
    s.f_imbalance_count += 1
    s.f_imbalance_last_ns = now_ns


@inner
def _place(ordered: Any, count: int, x: float) -> int:
    """Return the first position of an ascending array whose value is not below `x`."""
    low = 0
    high = count
    while low < high:
        middle = (low + high) >> 1
        if ordered[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@inner
def _sample_spread(s: Any, now_ns: int) -> None:
    """Replace the oldest sample of the window in the ring and in its sorted copy. Linear in the window, once per interval."""
    x = spread_bps(s)
    window = s.f_spread_window
    held = min(s.f_spread_count, window)
    ordered = s.f_spread_sorted
    at = s.f_spread_count % window
    if held == window:
        for k in range(_place(ordered, held, s.f_spread_ring[at]), held - 1):
            ordered[k] = ordered[k + 1]
        held -= 1
    to = _place(ordered, held, x)
    for k in range(held, to, -1):
        ordered[k] = ordered[k - 1]
    ordered[to] = x
    s.f_spread_ring[at] = x
    if s.f_spread_count == 0:
        s.f_spread_start_ns = now_ns
    s.f_spread_count += 1


@inlined
def take_samples(s: Any, now_ns: int) -> None:
    """Take every sample that is due. The book must have a valid top."""
    if now_ns >= s.f_sample_due_ns:
        _sample_liquidity(s, now_ns)
        s.f_sample_due_ns = now_ns + SECOND_NS
    if now_ns >= s.f_imbalance_due_ns:
        _sample_imbalance(s, now_ns)
        s.f_imbalance_due_ns = now_ns + int(s.f_imbalance_interval_s * 1e9)
    if now_ns >= s.f_spread_due_ns:
        _sample_spread(s, now_ns)
        s.f_spread_due_ns = now_ns + int(s.f_spread_interval_s * 1e9)
