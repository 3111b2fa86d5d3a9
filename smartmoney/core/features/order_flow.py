"""Order-flow imbalance: what arrives at and leaves the book, signed by the side that it strengthens.

Invariants: an event counts only between two frames that both have a valid top; sums are divided by the cover of their half-life, so that
they are unbiased from the start. A dropped book empties the sums; mean depths and the weights of the integrated flow survive it.
"""

import math
from typing import Any

from smartmoney.core.book.kernel import top_levels
from smartmoney.core.book.typed import ASK_SIDE, BID_SIDE, inlined, inner, int64
from smartmoney.core.features.basis import add, decay, hold, is_warm_book
from smartmoney.core.features.horizons import (
    COVER_BOOK,
    COVER_KEPT,
    DISTANCE_SCALE_BPS,
    H1,
    H10,
    H120,
    H600,
    H3600,
    HALF_LIVES_S,
    HORIZONS,
    RATES,
)
from smartmoney.core.features.spec import ODD, OWN, FeatureSpec, WarmUp, after_frames, warm_s

GROUP = "order_flow"
LEVELS = 5
"""Best prices a side that are followed from frame to frame."""
FIT_BARS_MIN = 30
SQUARINGS = 20
"""The leading eigenvector is that of the matrix to the power 2^20."""
_FAR = 1 << 62
"""Price of an ask that is not there; a bid that is not there has price 0."""
_L1 = int64(0)  # + level
_DECAYED = int64(LEVELS)
_SUMS = LEVELS + 1
_DEPTH = int64(0)
_DEPTH_LEVELS = int64(1)
_MEANS = 2
_TEN_S = 10.0
_RATE_3600 = float(RATES[H3600])

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_flow_sums", "f8", (_SUMS, HORIZONS)),
    ("f_frame_weighed", "f8", (2,)),  # changes of the frame in hand by side, weighed by distance; 0 between frames
    ("f_depth_means", "f8", (_MEANS, HORIZONS)),  # time-weighted; survive a drop
    # The best prices as of the latest frame with a valid top, absent ones with lots 0.
    ("f_best_ticks", "i8", (2, LEVELS)),
    ("f_best_lots", "i8", (2, LEVELS)),
    # Flow per level of the ten seconds in hand (`f_flow_bar_ok`: from their beginning, no drop since), and what was learned from such bars.
    ("f_flow_bar", "f8", (LEVELS,)),
    ("f_flow_bar_events", "i8"),
    ("f_flow_bar_ok", "i8"),
    ("f_flow_bars", "i8"),
    ("f_flow_moments", "f8", (LEVELS, LEVELS)),
    ("f_flow_weights", "f8", (LEVELS,)),
    ("f_flow_fitted", "i8"),
    ("f_flow_power", "f8", (2, LEVELS, LEVELS)),  # scratch
]

_L1_HORIZONS = (H1, H10, H120, H600, H3600)
_DECAYED_HORIZONS = (H1, H10, H120, H600)
_INTEGRATED_HORIZONS = (H10, H120)


def _feature(name: str, h: int, source: str, description: str) -> FeatureSpec:
    seconds = HALF_LIVES_S[h]
    return FeatureSpec(
        name=f"{name}_{seconds:g}s",
        group=GROUP,
        unit="mean depths",
        parity=ODD,
        half_life_s=seconds,
        warm_up=after_frames(seconds),
        resets=True,
        source=source,
        description=description.format(h=f"{seconds:g}"),
    )


_OFI = (
    "Per book frame e = 1{{Pb>=Pb'}}qb - 1{{Pb<=Pb'}}qb' - 1{{Pa<=Pa'}}qa + 1{{Pa>=Pa'}}qa', in lots; sum of e 2^(-t/{h}) / cover / D, D "
    "the time-weighted mean (half-life 600 s) of (qb + qa) / 2. A frame with no valid top before or after it adds nothing."
)
_LEVEL = (
    "As ofi_l1_10s with price and lots of level {m}, counted from the best by price, for P and q (an absent level has 0 lots at a price "
    "worse than any), / cover / D5, D5 the time-weighted mean (half-life 600 s) of the lots of the best five levels of both sides / 10."
)
_DISTANCE = (
    "Per changed level: side * (new - old lots) * exp(-d / 2), d the distance in bps from the mid before the frame, d <= 50; decayed by "
    "2^(-t/{h}), / cover / D as in ofi_l1_10s. A frame with no valid top before it adds nothing."
)
_INTEGRATED = (
    "Sum of w_m * (ofi_multilevel_m at half-life {h} s), m = 1..5. w: leading eigenvector of the matrix of second moments, not centred, "
    "of the vectors of summed e per level over whole ten seconds of exchange time (those with an event, and no drop in them), weight "
    "2^(-t/3600); scaled to sum of |w| = 1 and sum of w > 0. Fitted anew at every whole minute from the bars ended by then, from 30 bars "
    "on; NaN before."
)

FEATURES: tuple[FeatureSpec, ...] = (
    *(_feature("ofi_l1", h, "Cont, Kukanov, Stoikov 2014", _OFI) for h in _L1_HORIZONS),
    *(_feature(f"ofi_multilevel_{m}", H10, "Xu, Gould, Howison 2019", _LEVEL.replace("{m}", str(m))) for m in range(1, LEVELS + 1)),
    *(_feature("ofi_decayed", h, OWN, _DISTANCE) for h in _DECAYED_HORIZONS),
    *(
        FeatureSpec(
            name=f"ofi_integrated_{HALF_LIVES_S[h]:g}s",
            group=GROUP,
            unit="mean depths",
            parity=ODD,
            half_life_s=HALF_LIVES_S[h],
            warm_up=WarmUp(seconds=warm_s(HALF_LIVES_S[h]), events=FIT_BARS_MIN, event="ten seconds with a book event"),
            resets=True,
            source="Cont, Cucuringu, Zhang 2023",
            description=_INTEGRATED.format(h=f"{HALF_LIVES_S[h]:g}"),
        )
        for h in _INTEGRATED_HORIZONS
    ),
)
COUNT = len(FEATURES)
_LEVELS_AT = len(_L1_HORIZONS)
_DECAYED_AT = _LEVELS_AT + LEVELS
_INTEGRATED_AT = _DECAYED_AT + len(_DECAYED_HORIZONS)


@inlined
def step_order_flow(s: Any) -> None:
    """Decay, and let the depths that held during the step count."""
    decay(s.f_flow_sums, s.f_keep)
    decay(s.f_depth_means, s.f_keep)
    if s.f_valid != 0:
        hold(s.f_depth_means, _DEPTH, 0.5 * (s.f_bid_lots + s.f_ask_lots), s.f_keep)
        hold(s.f_depth_means, _DEPTH_LEVELS, float(near_lots(s, BID_SIDE) + near_lots(s, ASK_SIDE)) / (2 * LEVELS), s.f_keep)


@inner
def near_lots(s: Any, side: int) -> Any:
    """Return the lots of a side's best five levels as of the latest frame with a valid top."""
    lots = 0
    for m in range(LEVELS):
        lots += s.f_best_lots[side, m]
    return lots


@inlined
def level_order_flow(s: Any, side: int, change: int, distance_bps: float) -> None:
    """Take in one level's change."""
    s.f_frame_weighed[side] += change * math.exp(-distance_bps / DISTANCE_SCALE_BPS)


@inlined
def frame_order_flow(s: Any) -> None:
    """Move the changes of the frame into the decayed sums, which stand at its time."""
    add(s.f_flow_sums, _DECAYED, s.f_frame_weighed[0] - s.f_frame_weighed[1])
    s.f_frame_weighed[:] = 0.0


@inner
def _bid_event(tick: int, lots: int, old_tick: int, old_lots: int) -> int:
    e = 0
    if tick >= old_tick:
        e += lots
    if tick <= old_tick:
        e -= old_lots
    return e


@inner
def book_order_flow(s: Any) -> None:
    """Take in a frame with a valid top, against the one before if that had one too (`f_valid`)."""
    for side in range(2):
        count = top_levels(s, side, LEVELS, s.f_level_ticks[side], s.f_level_lots[side])
        for m in range(count, LEVELS):
            s.f_level_ticks[side, m] = 0 if side == 0 else _FAR
            s.f_level_lots[side, m] = 0
    if s.f_valid != 0:
        s.f_flow_bar_events += 1
        for m in range(LEVELS):
            e = _bid_event(s.f_level_ticks[0, m], s.f_level_lots[0, m], s.f_best_ticks[0, m], s.f_best_lots[0, m])
            # An ask is a bid with its price turned round.
            e -= _bid_event(-s.f_level_ticks[1, m], s.f_level_lots[1, m], -s.f_best_ticks[1, m], s.f_best_lots[1, m])
            add(s.f_flow_sums, m, float(e))
            s.f_flow_bar[m] += e
    for side in range(2):
        for m in range(LEVELS):
            s.f_best_ticks[side, m] = s.f_level_ticks[side, m]
            s.f_best_lots[side, m] = s.f_level_lots[side, m]


@inner
def ten_order_flow(s: Any, first: int, count: int) -> None:
    """Close the ten seconds in hand, number `first` since 1970, and `count` - 1 more, in which nothing happened; learn from them."""
    keep = math.exp(-_RATE_3600 * _TEN_S * count)
    weight = math.exp(-_RATE_3600 * _TEN_S * (count - 1))
    is_whole = s.f_flow_bar_ok != 0 and s.f_flow_bar_events > 0
    for i in range(LEVELS):
        for j in range(LEVELS):
            s.f_flow_moments[i, j] *= keep
            if is_whole:
                s.f_flow_moments[i, j] += weight * s.f_flow_bar[i] * s.f_flow_bar[j]
    if is_whole:
        s.f_flow_bars += 1
    s.f_flow_bar[:] = 0.0
    s.f_flow_bar_events = 0
    s.f_flow_bar_ok = 1
    if s.f_flow_bars >= FIT_BARS_MIN and (first - 1) // 6 != (first + count - 1) // 6:
        _fit(s)


@inner
def _fit(s: Any) -> None:
    """Set the weights to the leading eigenvector of the second moments, by squaring the matrix."""
    power = s.f_flow_power
    for i in range(LEVELS):
        for j in range(LEVELS):
            power[0, i, j] = s.f_flow_moments[i, j]
    for _ in range(SQUARINGS):
        trace = 0.0
        for i in range(LEVELS):
            trace += power[0, i, i]
        if not trace > 0.0:
            return
        for i in range(LEVELS):
            for j in range(LEVELS):
                total = 0.0
                for k in range(LEVELS):
                    total += (power[0, i, k] / trace) * (power[0, k, j] / trace)
                power[1, i, j] = total
        for i in range(LEVELS):
            for j in range(LEVELS):
                power[0, i, j] = power[1, i, j]
    size = 0.0
    total = 0.0
    for i in range(LEVELS):
        row = 0.0
        for j in range(LEVELS):
            row += power[0, i, j]
        power[1, 0, i] = row
        size += abs(row)
        total += row
    if not size > 0.0 or total == 0.0:
        return
    for i in range(LEVELS):
        s.f_flow_weights[i] = power[1, 0, i] / (size if total > 0.0 else -size)
    s.f_flow_fitted = 1


@inlined
def reset_order_flow(s: Any) -> None:
    """Forget what was derived from the dropped book."""
    s.f_flow_sums[:] = 0.0
    s.f_flow_bar_ok = 0


@inner
def _mean_held(s: Any, which: int, now: float) -> Any:
    """Return a time-weighted mean (half-life 600 s) at the time of the read, `now` being what holds; 0 when none is known."""
    keep = s.f_keep[H600]
    held = now if s.f_valid != 0 else 0.0
    known = s.f_known[COVER_KEPT, H600]
    return (s.f_depth_means[which, H600] * keep + (1.0 - keep) * held) / known if known > 0.0 else 0.0


@inner
def depth_before(s: Any) -> Any:
    """Return the mean lots at a best price (half-life 600 s) as of the latest event, 0 when none is known."""
    known = s.f_cover[COVER_KEPT, H600]
    return s.f_depth_means[_DEPTH, H600] / known if known > 0.0 else 0.0


@inner
def _flow(s: Any, q: int, h: int, depth: float) -> Any:
    return s.f_flow_sums[q, h] * s.f_keep[h] / s.f_known[COVER_BOOK, h] / depth if depth > 0.0 else 0.0


@inner
def read_order_flow(s: Any, out: Any) -> None:
    """Write the group's features."""
    depth = _mean_held(s, _DEPTH, 0.5 * (s.f_bid_lots + s.f_ask_lots))
    deep = _mean_held(s, _DEPTH_LEVELS, float(near_lots(s, BID_SIDE) + near_lots(s, ASK_SIDE)) / (2 * LEVELS))
    for at, h in enumerate(_L1_HORIZONS):
        if is_warm_book(s, h):
            out[at] = _flow(s, _L1, h, depth)
    for at, h in enumerate(_DECAYED_HORIZONS):
        if is_warm_book(s, h):
            out[_DECAYED_AT + at] = _flow(s, _DECAYED, h, depth)
    if is_warm_book(s, H10):
        for m in range(LEVELS):
            out[_LEVELS_AT + m] = _flow(s, m, H10, deep)
    for at, h in enumerate(_INTEGRATED_HORIZONS):
        if s.f_flow_fitted != 0 and is_warm_book(s, h):
            total = 0.0
            for m in range(LEVELS):
                total += s.f_flow_weights[m] * _flow(s, m, h, deep)
            out[_INTEGRATED_AT + at] = total
