"""The read: one record to one row of features, without changing what it remembers. Not warm is NaN."""

import math
from typing import Any

from smartmoney.core.book.typed import ASK_SIDE, BID_SIDE, entry, inlined, inner, int64
from smartmoney.core.features.clock import bps_base, keep_factors
from smartmoney.core.features.liquidity import cancel_add_ratio, depth_of_levels, lots_near, spread_bps, value_at_mid, z_score
from smartmoney.core.features.slots import (
    ADD_ASK_120,
    ADD_BID_120,
    BARS_120,
    BARS_600,
    BOOK_COVER_1,
    BOOK_COVER_10,
    BOOK_COVER_120,
    CANCEL_ADD_RATIO_10S,
    CANCEL_SCALE_MIN,
    COLUMNS,
    COUNT_10,
    DECAY_RATES,
    DEPTH_600,
    DEPTH_ASK_5BPS,
    DEPTH_BID_5BPS,
    DEPTH_SCALE_MIN,
    DISTANCE_10,
    EFFICIENCY_120S,
    FLOW_10,
    FLOW_120,
    H1,
    H10,
    H120,
    H600,
    IMBALANCE_MOMENTUM,
    KEPT_COVER_120,
    KEPT_COVER_600,
    LARGE_120,
    LARGE_TRADE_120S,
    LARGE_TRADE_THRESHOLD,
    LIQUIDITY_SCORE,
    LIQUIDITY_STRESS,
    MM_PRESENCE,
    OFI_1,
    OFI_10,
    OFI_120,
    OFI_DECAYED_10S,
    OFI_L1_1S,
    OFI_L1_10S,
    OFI_L1_120S,
    PATH_120,
    PRESENT_120,
    QUEUE_IMBALANCE,
    REF_CANCEL,
    REF_DEPTH,
    REF_SPREAD,
    REFERENCE_SAMPLES,
    REFERENCES,
    RETURNS_120,
    RING_MAX,
    RV_120S,
    RV_600S,
    SAMPLES_120,
    SECOND_NS,
    SIGMA_BAR_BPS,
    SIGNED_VOLUME_10S,
    SIGNED_VOLUME_120S,
    SPREAD_BPS,
    SPREAD_MEDIAN_BPS,
    SPREAD_SAMPLES_MIN,
    SQUARES_120,
    SQUARES_600,
    TFI_10S,
    TFI_120S,
    TOGGLED_120,
    TRADE_COVER_10,
    TRADE_COVER_120,
    TRADE_RATE_10S,
    VOLUME_10,
    VOLUME_120,
    VOLUME_MIN,
    WARM_COVER_1,
    WARM_COVER_10,
    WARM_COVER_120,
    WARM_COVER_600,
    WARM_EVENTS,
    WEIGHTED_IMBALANCE,
    WEIGHTED_MID_BPS,
)

_COLUMNS = len(COLUMNS)
_RATE_10 = float(DECAY_RATES[H10])
_PER_BAR_120 = -math.expm1(-float(DECAY_RATES[H120]))
_PER_BAR_600 = -math.expm1(-float(DECAY_RATES[H600]))
_WARM_NS = 10 * SECOND_NS
_SPREAD = int64(REF_SPREAD)
_DEPTH = int64(REF_DEPTH)
_CANCEL = int64(REF_CANCEL)


@inner
def _cover(cover: float, keep: float, covered: int) -> float:
    """Return a coverage decayed to the time of the read, the time since the last event covered or not."""
    return cover * keep + (1.0 - keep if covered != 0 else 0.0)


@inner
def _read_top(s: Any, out: Any) -> None:
    bid = float(s.f_bid_lots)
    ask = float(s.f_ask_lots)
    skew = (bid - ask) / (bid + ask)
    spread = spread_bps(s)
    out[SPREAD_BPS] = spread
    out[QUEUE_IMBALANCE] = skew
    out[WEIGHTED_MID_BPS] = 0.5 * spread * skew
    out[DEPTH_BID_5BPS] = value_at_mid(s, lots_near(s, BID_SIDE))
    out[DEPTH_ASK_5BPS] = value_at_mid(s, lots_near(s, ASK_SIDE))


@inner
def _read_imbalance(s: Any, out: Any, now_ns: int) -> None:
    count = s.f_imbalance_count
    if count == 0 or s.f_book_events < WARM_EVENTS:
        return
    factor = s.f_imbalance_factor
    warm_s = 10.0
    if 0.0 < factor < 1.0:
        warm_s = max(warm_s, 0.5 * s.f_imbalance_interval_s * math.log(2.0) / -math.log(factor))
    if (now_ns - s.f_imbalance_start_ns) * 1e-9 < warm_s - 1e-9:
        return
    value = s.f_imbalance_ring[(count - 1) % RING_MAX]
    out[WEIGHTED_IMBALANCE] = value
    if count > s.f_momentum_window:
        out[IMBALANCE_MOMENTUM] = value - s.f_imbalance_ring[(count - 1 - s.f_momentum_window) % RING_MAX]


@inner
def _read_order_flow(s: Any, out: Any) -> None:
    if s.f_book_events < WARM_EVENTS:
        return
    keep = s.f_keep
    sums = s.f_sums
    cover_1 = _cover(s.f_sums[BOOK_COVER_1], s.f_keep[H1], s.f_valid)
    cover_10 = _cover(s.f_sums[BOOK_COVER_10], s.f_keep[H10], s.f_valid)
    cover_120 = _cover(s.f_sums[BOOK_COVER_120], s.f_keep[H120], s.f_valid)
    held = 0.5 * (s.f_bid_lots + s.f_ask_lots) if s.f_valid != 0 else 0.0
    depth = (sums[DEPTH_600] * keep[H600] + (1.0 - keep[H600]) * held) / _cover(s.f_sums[KEPT_COVER_600], s.f_keep[H600], s.f_valid)
    if cover_1 >= WARM_COVER_1:
        out[OFI_L1_1S] = sums[OFI_1] * keep[H1] / cover_1 / depth
    if cover_10 >= WARM_COVER_10:
        out[OFI_L1_10S] = sums[OFI_10] * keep[H10] / cover_10 / depth
        out[OFI_DECAYED_10S] = sums[DISTANCE_10] * keep[H10] / cover_10 / depth
        out[CANCEL_ADD_RATIO_10S] = cancel_add_ratio(s, keep[H10])
    if cover_120 >= WARM_COVER_120:
        out[OFI_L1_120S] = sums[OFI_120] * keep[H120] / cover_120 / depth


@inner
def _read_trades(s: Any, out: Any) -> None:
    if s.f_trade_events < WARM_EVENTS:
        return
    keep = s.f_keep
    sums = s.f_sums
    seen = 1 if s.f_blind == 0 else 0
    cover_10 = _cover(s.f_sums[TRADE_COVER_10], s.f_keep[H10], seen)
    cover_120 = _cover(s.f_sums[TRADE_COVER_120], s.f_keep[H120], seen)
    if cover_10 >= WARM_COVER_10:
        flow = sums[FLOW_10] * keep[H10]
        volume = sums[VOLUME_10] * keep[H10]
        out[SIGNED_VOLUME_10S] = flow / cover_10
        out[TFI_10S] = flow / volume if volume > VOLUME_MIN else 0.0
        out[TRADE_RATE_10S] = sums[COUNT_10] * keep[H10] / cover_10 * _RATE_10
        if s.f_order_events >= WARM_EVENTS:
            out[LARGE_TRADE_THRESHOLD] = max(math.exp(s.f_quantile), s.f_large_floor)
    if cover_120 >= WARM_COVER_120:
        flow = sums[FLOW_120] * keep[H120]
        volume = sums[VOLUME_120] * keep[H120]
        out[SIGNED_VOLUME_120S] = flow / cover_120
        out[TFI_120S] = flow / volume if volume > VOLUME_MIN else 0.0
        out[LARGE_TRADE_120S] = sums[LARGE_120] * keep[H120] / cover_120


@inner
def _read_volatility(s: Any, out: Any) -> None:
    sums = s.f_sums
    if s.f_book_events_kept < WARM_EVENTS:
        return
    if sums[BARS_120] > 0.0 and _cover(s.f_sums[KEPT_COVER_120], s.f_keep[H120], s.f_valid) >= WARM_COVER_120:
        per_second = sums[SQUARES_120] / sums[BARS_120]
        out[RV_120S] = per_second / _PER_BAR_120
        out[SIGMA_BAR_BPS] = math.sqrt(per_second * s.f_bar_s)
        out[EFFICIENCY_120S] = min(1.0, abs(sums[RETURNS_120]) / sums[PATH_120]) if sums[PATH_120] > 0.0 else 0.0
    if sums[BARS_600] > 0.0 and _cover(s.f_sums[KEPT_COVER_600], s.f_keep[H600], s.f_valid) >= WARM_COVER_600:
        out[RV_600S] = sums[SQUARES_600] / sums[BARS_600] / _PER_BAR_600


@inner
def _read_makers(s: Any, out: Any) -> None:
    sums = s.f_sums
    if s.f_book_events_kept < WARM_EVENTS or not sums[SAMPLES_120] > 0.0:
        return
    if _cover(s.f_sums[KEPT_COVER_120], s.f_keep[H120], s.f_valid) < WARM_COVER_120:
        return
    keep = s.f_keep[H120]
    bid = sums[ADD_BID_120] * keep
    ask = sums[ADD_ASK_120] * keep
    balance = 1.0 - abs(bid - ask) / (bid + ask + 1.0)
    present = sums[PRESENT_120] / sums[SAMPLES_120]
    flicker = sums[TOGGLED_120] / sums[SAMPLES_120]
    out[MM_PRESENCE] = present * balance * max(0.0, 1.0 - flicker)


@inner
def _read_liquidity(s: Any, out: Any, now_ns: int, top: bool) -> None:
    """Write the composite liquidity numbers; the parts of the row that they use are written."""
    held = min(s.f_spread_count, s.f_spread_window)
    old_enough = s.f_spread_count > 0 and now_ns - s.f_spread_start_ns >= _WARM_NS
    if held >= min(SPREAD_SAMPLES_MIN, s.f_spread_window) and old_enough and s.f_book_events_kept >= WARM_EVENTS:
        out[SPREAD_MEDIAN_BPS] = 0.5 * (s.f_spread_sorted[(held - 1) // 2] + s.f_spread_sorted[held // 2])
    if not top:
        return
    spread = out[SPREAD_BPS]
    depth = min(depth_of_levels(s, BID_SIDE, s.f_score_levels), depth_of_levels(s, ASK_SIDE, s.f_score_levels))
    room = depth / (10.0 * s.f_order_notional_max)
    # NaN of a part that is not warm passes through the product on purpose; min() would hide it.
    tight = out[SPREAD_MEDIAN_BPS] / spread
    makers = out[MM_PRESENCE]
    if not math.isnan(tight) and not math.isnan(makers):
        out[LIQUIDITY_SCORE] = (min(1.0, room) * min(1.0, tight) * max(makers, 0.1)) ** (1.0 / 3.0)
    warm = not math.isnan(out[CANCEL_ADD_RATIO_10S])
    for k in range(REFERENCES):
        warm = warm and s.f_ref_count[k] >= REFERENCE_SAMPLES
    if warm:
        tick_bps = 1e4 / bps_base(s, s.f_mid)
        z = z_score(s, _SPREAD, spread, tick_bps)
        z -= z_score(s, _DEPTH, math.log1p(out[DEPTH_BID_5BPS] + out[DEPTH_ASK_5BPS]), DEPTH_SCALE_MIN)
        z += z_score(s, _CANCEL, out[CANCEL_ADD_RATIO_10S], CANCEL_SCALE_MIN)
        out[LIQUIDITY_STRESS] = 1.0 / (1.0 + math.exp(-2.0 * (z / 3.0 - 1.0)))


@inlined
def read_features(s: Any, ts_event_ns: int, out: Any) -> None:
    """Write one row (`COLUMNS` order, float64), decayed to `ts_event_ns`; NaN where not warm. A few µs; changes scratch only.

    0 is the latest event's time; a time before that counts as that.
    """
    for k in range(_COLUMNS):
        out[k] = math.nan
    if s.f_now_ns == 0:
        return
    now_ns = max(s.last_event_ns, s.f_now_ns, ts_event_ns)
    keep_factors(s, now_ns - s.f_now_ns)
    # A venue's frame without a time changes the book and not the clock: the top is looked at again.
    top = s.f_valid != 0 and 0 < s.best_bid_tick < s.best_ask_tick
    if top:
        _read_top(s, out)
    _read_imbalance(s, out, now_ns)
    _read_order_flow(s, out)
    _read_trades(s, out)
    _read_volatility(s, out)
    _read_makers(s, out)
    _read_liquidity(s, out, now_ns, top)


@entry
def read_row(states: Any, index: int, ts_event_ns: int, out: Any) -> None:
    """Do `read_features` for one record of an array; from Python much cheaper than to box the record first."""
    read_features(states[index], ts_event_ns, out)
