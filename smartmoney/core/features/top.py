"""What the top of the book looks like now: spread, queues, weighted mid, depth within bands. Nothing is remembered."""

import math
from typing import Any

import numpy as np

from smartmoney.core.book.kernel import lots_within, top_levels
from smartmoney.core.book.state import WINDOW
from smartmoney.core.book.typed import ASK_SIDE, BID_SIDE, inlined, inner
from smartmoney.core.features.basis import bps_base, notional
from smartmoney.core.features.horizons import DISTANCE_SCALE_BPS
from smartmoney.core.features.spec import AT_ONCE, EVEN, ODD, OWN, POSITIVE, SIGNED_SHARE, FeatureSpec, swaps

GROUP = "top"
DEPTH_BANDS_BPS = (1, 2, 5, 10)
QUEUE_LEVELS = 20
_BANDS = len(DEPTH_BANDS_BPS)
_TO_BPS = 1e4
_PER_BPS = 10_000

(_SPREAD_BPS, _SPREAD_TICKS, _QUEUE_IMBALANCE, _QUEUE_DECAYED, _WEIGHTED_MID, _DEPTH_5, _DEPTH_10, _DEPTHS) = range(8)


def _now(name: str, unit: str, parity: str, description: str, **more: Any) -> FeatureSpec:
    return FeatureSpec(
        name=name, group=GROUP, unit=unit, parity=parity, warm_up=AT_ONCE, resets=True, description=description, **{"source": OWN, **more}
    )


def _depth(side: str, other: str, band: int) -> FeatureSpec:
    beyond = f"at or above mid * (1 - {band}e-4)" if side == "bid" else f"at or below mid * (1 + {band}e-4)"
    name = f"depth_{side}_{band}bps"
    text = f"Base quantity of {side}s {beyond}, valued at the mid. COIN-M: contracts."
    return _now(name, "quote", swaps(f"depth_{other}_{band}bps"), text, bounds=POSITIVE, scale=1)


def _depth_imbalance(band: int) -> FeatureSpec:
    text = f"(depth_bid_{band}bps - depth_ask_{band}bps) / (depth_bid_{band}bps + depth_ask_{band}bps); 0 when both are empty."
    return _now(f"depth_imbalance_{band}bps", "ratio", ODD, text, bounds=SIGNED_SHARE)


FEATURES: tuple[FeatureSpec, ...] = (
    _now("spread_bps", "bps", EVEN, "(best ask - best bid) / mid * 10^4.", bounds=POSITIVE),
    _now("spread_ticks", "ticks", EVEN, "(best ask - best bid) / tick size.", bounds=POSITIVE),
    _now(
        "queue_imbalance",
        "ratio",
        ODD,
        "(bid lots - ask lots) / (bid lots + ask lots) of the best prices.",
        bounds=SIGNED_SHARE,
        source="Gould, Bonart 2016",
    ),
    _now(
        "queue_imbalance_decayed",
        "ratio",
        ODD,
        (
            f"(B - A) / (B + A), B and A the lots of the best {QUEUE_LEVELS} levels of bids and asks, each weighed by e^(-d / 2), "
            "d its distance from the mid in bps."
        ),
        bounds=SIGNED_SHARE,
        source="Gould, Bonart 2016; weights: own",
    ),
    _now(
        "weighted_mid_bps",
        "bps",
        ODD,
        "(ask price * bid lots + bid price * ask lots) / (bid lots + ask lots) - mid, that is spread_bps / 2 * queue_imbalance.",
    ),
    _depth_imbalance(5),
    _depth_imbalance(10),
    *(_depth(side, other, band) for band in DEPTH_BANDS_BPS for side, other in (("bid", "ask"), ("ask", "bid"))),
)
COUNT = len(FEATURES)


@inner
def lots_near(s: Any, side: int, band_bps: int) -> Any:
    """Return the lots of one side within so many whole bps of the mid, bounds included. The book must have a valid top."""
    # Whole numbers, in halves of a tick and 1e-4: a level that lies exactly on the bound is inside, whatever the price.
    twice_mid = s.best_bid_tick + s.best_ask_tick
    reach = (np.int64(2.0 * s.f_reference) if s.f_reference > 0.0 else twice_mid) * band_bps
    # The whole ticks of the mid are kept out of the products, which would not hold a price of 10^15 ticks.
    whole = twice_mid >> 1
    half = (twice_mid & 1) * _PER_BPS
    if side == 0:
        first, last = whole - (reach - half) // (2 * _PER_BPS), s.best_bid_tick
    else:
        first, last = s.best_ask_tick, whole + (half + reach) // (2 * _PER_BPS)
    if first < s.base_tick or last >= s.base_tick + WINDOW:
        return lots_within(s, side, first if side == 0 else last)
    # Inside the dense window a plain sum of the slice is many times cheaper than a walk from level to level.
    total = 0
    for lots in s.window_lots[side, first - s.base_tick : last - s.base_tick + 1]:
        total += lots
    return total


@inner
def value_at_mid(s: Any, lots: int) -> Any:
    """Return the quote value of lots at the mid. The book must have a valid top."""
    return notional(s, float(lots), 0.5 * (s.best_bid_tick + s.best_ask_tick))


@inner
def spread_bps(s: Any) -> Any:
    """Return the spread of a valid top."""
    mid = 0.5 * (s.best_bid_tick + s.best_ask_tick)
    return (s.best_ask_tick - s.best_bid_tick) / bps_base(s, mid) * _TO_BPS


@inner
def _weighed_queue(s: Any, side: int) -> Any:
    """Return the lots of the best levels of one side, weighed by their distance from the mid."""
    mid = 0.5 * (s.best_bid_tick + s.best_ask_tick)
    per_tick = _TO_BPS / bps_base(s, mid) / DISTANCE_SCALE_BPS
    count = top_levels(s, side, QUEUE_LEVELS, s.f_level_ticks[side], s.f_level_lots[side])
    total = 0.0
    for k in range(count):
        total += s.f_level_lots[side, k] * math.exp(-abs(s.f_level_ticks[side, k] - mid) * per_tick)
    return total


@inner
def _skew(bid: float, ask: float) -> float:
    return (bid - ask) / (bid + ask) if bid + ask > 0.0 else 0.0


@inlined
def read_top(s: Any, out: Any) -> None:
    """Write the group's features. The book must have a valid top."""
    spread = spread_bps(s)
    skew = _skew(float(s.f_bid_lots), float(s.f_ask_lots))
    out[_SPREAD_BPS] = spread
    out[_SPREAD_TICKS] = float(s.best_ask_tick - s.best_bid_tick)
    out[_QUEUE_IMBALANCE] = skew
    out[_QUEUE_DECAYED] = _skew(_weighed_queue(s, BID_SIDE), _weighed_queue(s, ASK_SIDE))
    out[_WEIGHTED_MID] = 0.5 * spread * skew
    for b in range(_BANDS):
        out[_DEPTHS + 2 * b] = value_at_mid(s, lots_near(s, BID_SIDE, DEPTH_BANDS_BPS[b]))
        out[_DEPTHS + 2 * b + 1] = value_at_mid(s, lots_near(s, ASK_SIDE, DEPTH_BANDS_BPS[b]))
    out[_DEPTH_5] = _skew(out[_DEPTHS + 4], out[_DEPTHS + 5])
    out[_DEPTH_10] = _skew(out[_DEPTHS + 6], out[_DEPTHS + 7])
