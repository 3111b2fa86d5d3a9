"""Order-flow imbalance: what arrives at and leaves the book, signed by the side that it strengthens.

Invariants: an event counts only between two frames that both have a valid top; everything but the mean depths is emptied when the book is
dropped; sums are divided by the cover of their half-life, so that they are unbiased from the start.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inlined, inner, int64
from smartmoney.core.features.basis import add, decay, hold, is_warm_book
from smartmoney.core.features.horizons import COVER_BOOK, COVER_KEPT, DISTANCE_SCALE_BPS, H1, H10, H120, H600, H3600, HALF_LIVES_S, HORIZONS
from smartmoney.core.features.spec import ODD, OWN, FeatureSpec, after_frames

GROUP = "order_flow"
_L1 = int64(0)
_DECAYED = int64(1)
_SUMS = 2
_DEPTH = int64(0)
_MEANS = 1

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_flow_sums", "f8", (_SUMS, HORIZONS)),
    ("f_depth_means", "f8", (_MEANS, HORIZONS)),  # time-weighted; survive a drop
]

_L1_HORIZONS = (H1, H10, H120, H600, H3600)
_DECAYED_HORIZONS = (H1, H10, H120, H600)


def _l1(h: int) -> FeatureSpec:
    seconds = HALF_LIVES_S[h]
    return FeatureSpec(
        name=f"ofi_l1_{seconds:g}s",
        group=GROUP,
        unit="mean depths",
        parity=ODD,
        half_life_s=seconds,
        warm_up=after_frames(seconds),
        resets=True,
        source="Cont, Kukanov, Stoikov 2014",
        description=(
            "Per book frame e = 1{Pb>=Pb'}qb - 1{Pb<=Pb'}qb' - 1{Pa<=Pa'}qa + 1{Pa>=Pa'}qa', in lots; "
            f"sum of e 2^(-t/{seconds:g}) / cover / D, D the time-weighted mean (half-life 600 s) of (qb + qa) / 2. "
            "A frame with no valid top before or after it adds nothing."
        ),
    )


def _decayed(h: int) -> FeatureSpec:
    seconds = HALF_LIVES_S[h]
    return FeatureSpec(
        name=f"ofi_decayed_{seconds:g}s",
        group=GROUP,
        unit="mean depths",
        parity=ODD,
        half_life_s=seconds,
        warm_up=after_frames(seconds),
        resets=True,
        source=OWN,
        description=(
            "Per changed level: side * (new - old lots) * exp(-d / 2), d the distance in bps from the mid before the frame, d <= 50; "
            f"decayed by 2^(-t/{seconds:g}), / cover / D as in ofi_l1_10s. A frame with no valid top before it adds nothing."
        ),
    )


FEATURES: tuple[FeatureSpec, ...] = (*(_l1(h) for h in _L1_HORIZONS), *(_decayed(h) for h in _DECAYED_HORIZONS))
COUNT = len(FEATURES)


@inlined
def step_order_flow(s: Any) -> None:
    """Decay, and let the depths that held during the step count."""
    decay(s.f_flow_sums, s.f_keep)
    decay(s.f_depth_means, s.f_keep)
    if s.f_valid != 0:
        hold(s.f_depth_means, _DEPTH, 0.5 * (s.f_bid_lots + s.f_ask_lots), s.f_keep)


@inlined
def level_order_flow(s: Any, side: int, change: int, distance_bps: float) -> None:
    """Take in one level's change."""
    weighed = change * math.exp(-distance_bps / DISTANCE_SCALE_BPS)
    add(s.f_flow_sums, _DECAYED, weighed if side == 0 else -weighed)


@inlined
def top_order_flow(s: Any, bid_tick: int, bid_lots: int, ask_tick: int, ask_lots: int) -> None:
    """Take in the new top against the one before, both valid."""
    e = 0
    if bid_tick >= s.f_bid_tick:
        e += bid_lots
    if bid_tick <= s.f_bid_tick:
        e -= s.f_bid_lots
    if ask_tick <= s.f_ask_tick:
        e -= ask_lots
    if ask_tick >= s.f_ask_tick:
        e += s.f_ask_lots
    add(s.f_flow_sums, _L1, float(e))


@inlined
def reset_order_flow(s: Any) -> None:
    """Forget what was derived from the dropped book."""
    s.f_flow_sums[:] = 0.0


@inner
def mean_depth(s: Any) -> Any:
    """Return the mean lots at a best price (half-life 600 s) at the time of the read, 0 when none is known."""
    keep = s.f_keep[H600]
    held = 0.5 * (s.f_bid_lots + s.f_ask_lots) if s.f_valid != 0 else 0.0
    known = s.f_known[COVER_KEPT, H600]
    return (s.f_depth_means[_DEPTH, H600] * keep + (1.0 - keep) * held) / known if known > 0.0 else 0.0


@inner
def read_order_flow(s: Any, out: Any) -> None:
    """Write the group's features."""
    at = 0
    depth = mean_depth(s)
    for h in _L1_HORIZONS:
        if is_warm_book(s, h):
            out[at] = s.f_flow_sums[_L1, h] * s.f_keep[h] / s.f_known[COVER_BOOK, h] / depth
        at += 1
    for h in _DECAYED_HORIZONS:
        if is_warm_book(s, h):
            out[at] = s.f_flow_sums[_DECAYED, h] * s.f_keep[h] / s.f_known[COVER_BOOK, h] / depth
        at += 1
