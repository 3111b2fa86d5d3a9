"""Liquidity provision patterns (strategy.md, `liquidity_patterns`): stress, score, market-maker presence, the usual spread.

Samples are taken from the book at intervals, each at the first book frame with a valid top at which it is due, after the frame was applied.
All but the market makers' last state survives a dropped book.
"""

import math
from typing import Any

from smartmoney.core.book.kernel import top_levels
from smartmoney.core.book.typed import ASK_SIDE, BID_SIDE, inlined, inner, int64
from smartmoney.core.features.basis import add, bps_base, decay, is_warm_book, is_warm_kept
from smartmoney.core.features.book_changes import cancel_add_ratio
from smartmoney.core.features.horizons import (
    COVER_BOOK,
    COVER_KEPT,
    H10,
    H120,
    H600,
    H1800,
    HORIZONS,
    RATES,
    SECOND_NS,
    TEN_SECONDS_NS,
    TINY,
    WARM_COVER,
    WARM_EVENTS,
)
from smartmoney.core.features.impact import has_flow_bars, kyle_lambda
from smartmoney.core.features.resilience import sample_depth
from smartmoney.core.features.spec import EVEN, OWN, POSITIVE, SHARE, STRATEGY, FeatureSpec, WarmUp, after_frames
from smartmoney.core.features.top import lots_near, spread_bps, value_at_mid

GROUP = "liquidity_patterns"
DEPTH_BPS = int64(5)
"""Depth and market makers are looked for this near to the mid."""
SPREADS_MAX = 4096
"""Largest `spread_window`."""
SPREAD_SAMPLES_MIN = 3
REFERENCES = 4
REF_SPREAD = int64(0)
REF_DEPTH = int64(1)
REF_CANCEL = int64(2)
REF_LAMBDA = int64(3)
REFERENCE_SAMPLES = 30
"""Samples (about one a second) after which a z-score's reference is used."""
DEPTH_SCALE_MIN = 0.25
CANCEL_SCALE_MIN = 0.25
LAMBDA_SCALE_MIN = 0.25
"""Of the reference's own mean."""
PRESENCE_SHARE = 0.5
"""Share of a side's usual depth within `DEPTH_BPS` that counts as makers being there."""

_PRESENT = int64(0)
_TOGGLED = int64(1)
_SAMPLES = int64(2)
_NEAR = int64(3)
_SUMS = 4
_RATE_1800 = float(RATES[H1800])

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_spread_window", "i8"),
    ("f_spread_interval_s", "f8"),
    ("f_score_levels", "i8"),
    ("f_order_notional_max", "f8"),
    ("f_sample_due_ns", "i8"),
    ("f_sample_sums", "f8", (_SUMS, HORIZONS)),
    ("f_present", "i8"),  # market makers present at the last sample: 1, 0, -1 unknown
    ("f_spread_due_ns", "i8"),
    ("f_spread_start_ns", "i8"),
    ("f_spread_count", "i8"),
    ("f_spread_ring", "f8", (SPREADS_MAX,)),  # in order of time
    ("f_spread_sorted", "f8", (SPREADS_MAX,)),
    ("f_ref_last_ns", "i8", (REFERENCES,)),
    ("f_ref_count", "i8", (REFERENCES,)),
    ("f_ref_weight", "f8", (REFERENCES,)),
    ("f_ref_mean", "f8", (REFERENCES,)),
    ("f_ref_squares", "f8", (REFERENCES,)),
]

FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        name="spread_median_bps",
        group=GROUP,
        unit="bps",
        parity=EVEN,
        warm_up=WarmUp(seconds=10.0, events=SPREAD_SAMPLES_MIN, event="samples, and 50 book frames"),
        bounds=POSITIVE,
        source=STRATEGY,
        description=(
            "Median of spread_bps at the last spread_window samples, one at the first book frame at least update_frequency seconds after "
            "the last."
        ),
    ),
    FeatureSpec(
        name="liquidity_stress",
        group=GROUP,
        unit="ratio",
        parity=EVEN,
        half_life_s=1800.0,
        warm_up=WarmUp(seconds=9.0 + REFERENCE_SAMPLES, events=REFERENCE_SAMPLES, event="samples, and 50 book frames"),
        bounds=SHARE,
        source=STRATEGY,
        scale=None,
        description=(
            "1 / (1 + exp(-2 (z - 1))), z the mean of z(spread_bps), -z(ln(1 + depth_bid_5bps + depth_ask_5bps)), z(cancel_add_ratio_10s) "
            "and, once it is warm and sampled 30 times, z(kyle_lambda_120s). Each against the weighted mean and deviation (half-life 1800 "
            "s) of samples at the first book frame at least a second after the last; the deviation is at least one tick, 0.25, 0.25, and "
            "a quarter of the mean impact. 0.12 in normal times. For 10 s after a reset the ratio is neither sampled nor finite."
        ),
    ),
    FeatureSpec(
        name="liquidity_score",
        group=GROUP,
        unit="ratio",
        parity=EVEN,
        half_life_s=120.0,
        warm_up=after_frames(120.0),
        bounds=SHARE,
        source=STRATEGY,
        scale=None,
        description=(
            "(min(1, D / (10 order_notional_max)) * min(1, spread_median_bps / spread_bps) * max(mm_presence, 0.1))^(1/3), "
            "D the value at the mid of the best depth_levels levels of the thinner side."
        ),
    ),
    FeatureSpec(
        name="mm_presence",
        group=GROUP,
        unit="ratio",
        parity=EVEN,
        half_life_s=120.0,
        warm_up=after_frames(120.0),
        bounds=SHARE,
        source=OWN,
        scale=None,
        description=(
            "presence * (1 - |Rb - Ra| / (Rb + Ra + 1)) * max(0, 1 - flicker). At each sample of liquidity_stress makers are there when "
            "both sides hold, within 5 bps of the mid, at least half of their average's weighted mean (half-life 1800 s), and "
            "something; presence is the decayed share of such samples, flicker that of samples unlike the one before. "
            "Rb, Ra: lots added within 10 bps, per side, decayed by 2^(-t/120)."
        ),
    ),
)
COUNT = len(FEATURES)
_SPREAD_MEDIAN, _STRESS, _SCORE, _MM_PRESENCE = range(COUNT)


@inlined
def step_liquidity(s: Any) -> None:
    """Decay."""
    decay(s.f_sample_sums, s.f_keep)


@inner
def _depth_of_levels(s: Any, side: int, levels: int) -> Any:
    """Return the quote value, at the mid, of the best levels of one side."""
    count = top_levels(s, side, levels, s.f_level_ticks[side], s.f_level_lots[side])
    lots = 0
    for k in range(count):
        lots += s.f_level_lots[side, k]
    return value_at_mid(s, lots)


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
def _z_score(s: Any, which: int, x: float, scale_min: float) -> Any:
    """Return how many standard deviations `x` lies above its reference; the deviation is at least `scale_min`."""
    deviation = math.sqrt(max(0.0, s.f_ref_squares[which] / s.f_ref_weight[which]))
    return (x - s.f_ref_mean[which]) / max(deviation, scale_min)


@inner
def _sample_liquidity(s: Any, now_ns: int) -> None:
    bid = lots_near(s, BID_SIDE, DEPTH_BPS)
    ask = lots_near(s, ASK_SIDE, DEPTH_BPS)
    _add_reference(s, REF_SPREAD, now_ns, spread_bps(s))
    _add_reference(s, REF_DEPTH, now_ns, math.log1p(value_at_mid(s, bid) + value_at_mid(s, ask)))
    if s.f_cover[COVER_BOOK, H10] >= WARM_COVER[H10]:
        _add_reference(s, REF_CANCEL, now_ns, cancel_add_ratio(s, 1.0))
    if s.f_trade_events >= WARM_EVENTS and s.f_book_events_kept >= WARM_EVENTS and s.f_cover[COVER_KEPT, H120] >= WARM_COVER[H120]:
        _add_reference(s, REF_LAMBDA, now_ns, kyle_lambda(s, H120))
    sums = s.f_sample_sums
    add(sums, _NEAR, 0.5 * (bid + ask))
    add(sums, _SAMPLES, 1.0)
    sample_depth(s, now_ns, float(bid + ask), 2.0 * sums[_NEAR, H600] / sums[_SAMPLES, H600])
    enough = PRESENCE_SHARE * sums[_NEAR, H1800] / sums[_SAMPLES, H1800]
    present = 1 if min(bid, ask) >= enough and bid > 0 and ask > 0 else 0
    add(sums, _PRESENT, float(present))
    if s.f_present >= 0 and s.f_present != present:
        add(sums, _TOGGLED, 1.0)
    s.f_present = present


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
def sample_liquidity(s: Any, now_ns: int) -> None:
    """Take every sample that is due. The book must have a valid top."""
    if now_ns >= s.f_sample_due_ns:
        _sample_liquidity(s, now_ns)
        s.f_sample_due_ns = now_ns + SECOND_NS
    if now_ns >= s.f_spread_due_ns:
        _sample_spread(s, now_ns)
        s.f_spread_due_ns = now_ns + int(s.f_spread_interval_s * SECOND_NS)


@inlined
def reset_liquidity(s: Any) -> None:
    """Forget whether makers were present at the last sample."""
    s.f_present = -1


@inner
def _median_spread(s: Any) -> Any:
    held = min(s.f_spread_count, s.f_spread_window)
    old_enough = s.f_spread_count > 0 and s.f_read_ns - s.f_spread_start_ns >= TEN_SECONDS_NS
    if held < min(SPREAD_SAMPLES_MIN, s.f_spread_window) or not old_enough or s.f_book_events_kept < WARM_EVENTS:
        return math.nan
    return 0.5 * (s.f_spread_sorted[(held - 1) // 2] + s.f_spread_sorted[held // 2])


@inner
def _presence(s: Any) -> Any:
    sums = s.f_sample_sums
    if not sums[_SAMPLES, H120] > 0.0 or not is_warm_kept(s, H120):
        return math.nan
    keep = s.f_keep[H120]
    bid = s.f_added_kept[0, H120] * keep
    ask = s.f_added_kept[1, H120] * keep
    balance = 1.0 - abs(bid - ask) / (bid + ask + 1.0)
    present = sums[_PRESENT, H120] / sums[_SAMPLES, H120]
    flicker = sums[_TOGGLED, H120] / sums[_SAMPLES, H120]
    return present * balance * max(0.0, 1.0 - flicker)


@inner
def _stress(s: Any) -> Any:
    """Return the stress of a book with a valid top, NaN where a part is not warm."""
    if not is_warm_book(s, H10):
        return math.nan
    for k in range(REF_LAMBDA):
        if s.f_ref_count[k] < REFERENCE_SAMPLES:
            return math.nan
    depth = value_at_mid(s, lots_near(s, BID_SIDE, DEPTH_BPS)) + value_at_mid(s, lots_near(s, ASK_SIDE, DEPTH_BPS))
    z = _z_score(s, REF_SPREAD, spread_bps(s), 1e4 / bps_base(s, s.f_mid))
    z -= _z_score(s, REF_DEPTH, math.log1p(depth), DEPTH_SCALE_MIN)
    z += _z_score(s, REF_CANCEL, cancel_add_ratio(s, s.f_keep[H10]), CANCEL_SCALE_MIN)
    parts = 3.0
    if s.f_ref_count[REF_LAMBDA] >= REFERENCE_SAMPLES and has_flow_bars(s, H120):
        z += _z_score(s, REF_LAMBDA, kyle_lambda(s, H120), max(LAMBDA_SCALE_MIN * abs(s.f_ref_mean[REF_LAMBDA]), TINY))
        parts = 4.0
    return 1.0 / (1.0 + math.exp(-2.0 * (z / parts - 1.0)))


@inner
def _score(s: Any, median: float, makers: float) -> Any:
    """Return the score of a book with a valid top, NaN where a part is not warm."""
    if math.isnan(median) or math.isnan(makers):
        return math.nan
    depth = min(_depth_of_levels(s, BID_SIDE, s.f_score_levels), _depth_of_levels(s, ASK_SIDE, s.f_score_levels))
    room = depth / (10.0 * s.f_order_notional_max)
    return (min(1.0, room) * min(1.0, median / spread_bps(s)) * max(makers, 0.1)) ** (1.0 / 3.0)


@inner
def read_liquidity(s: Any, out: Any, has_top: bool) -> None:
    """Write the group's features."""
    out[_SPREAD_MEDIAN] = _median_spread(s)
    out[_MM_PRESENCE] = _presence(s)
    if has_top:
        out[_STRESS] = _stress(s)
        out[_SCORE] = _score(s, out[_SPREAD_MEDIAN], out[_MM_PRESENCE])
