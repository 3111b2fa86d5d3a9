"""Kernels that every group of features builds on: decay, prices in basis points, notionals, and whether a sum is warm at a read."""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.horizons import (
    COVER_BOOK,
    COVER_KEPT,
    COVER_TRADE,
    COVERS,
    H120,
    H3600,
    HORIZONS,
    RATES,
    WARM_COVER,
    WARM_EVENTS,
)

_RATE_120 = float(RATES[H120])
_RATE_3600 = float(RATES[H3600])

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    # Scratch: decay factors of the step in hand, and of an impulse that is older than the sums it goes into.
    ("f_keep", "f8", (HORIZONS,)),
    ("f_aged", "f8", (HORIZONS,)),
    ("f_known", "f8", (COVERS, HORIZONS)),  # covers at the time of a read
    ("f_read_ns", "i8"),
    # Weight of the time in which the input was known, per kind of input and half-life.
    ("f_cover", "f8", (COVERS, HORIZONS)),
]


@inner
def bps_base(s: Any, price: float) -> Any:
    """Return the price that basis points are taken against: `price`, or the record's fixed reference where it has one."""
    return s.f_reference if s.f_reference > 0.0 else price


@inner
def notional(s: Any, lots: float, price: float) -> Any:
    """Return the quote value of lots at a price in ticks."""
    return lots * (s.f_lot_value + s.f_lot_value_per_tick * bps_base(s, price))


@inner
def fill_factors(factors: Any, elapsed_ns: int) -> None:
    """Write 2^(-elapsed / half-life) of every half-life: two exponentials, the others are their powers."""
    elapsed_s = elapsed_ns * 1e-9
    k3600 = math.exp(-_RATE_3600 * elapsed_s)
    k1800 = k3600 * k3600
    k600 = k1800 * k1800 * k1800
    k120 = math.exp(-_RATE_120 * elapsed_s)
    k60 = k120 * k120
    k20 = k60 * k60 * k60
    k10 = k20 * k20
    k5 = k10 * k10
    factors[0] = k5 * k5 * k5 * k5 * k5
    factors[1] = k10
    factors[2] = k60
    factors[3] = k120
    factors[4] = k600 * k600
    factors[5] = k600
    factors[6] = k1800
    factors[7] = k3600


# `decay` and `add_aged` are written out: a loop over the half-lives is not turned into vector instructions, because for all that the
# compiler knows the factors could lie inside the sums.
@inner
def decay(sums: Any, factors: Any) -> None:
    """Multiply rows of decayed sums by a row of factors."""
    a, b, c, d, e, f, g, h = factors[0], factors[1], factors[2], factors[3], factors[4], factors[5], factors[6], factors[7]
    for q in range(sums.shape[0]):
        sums[q, 0] *= a
        sums[q, 1] *= b
        sums[q, 2] *= c
        sums[q, 3] *= d
        sums[q, 4] *= e
        sums[q, 5] *= f
        sums[q, 6] *= g
        sums[q, 7] *= h


@inner
def add(sums: Any, q: int, x: float) -> None:
    """Add an impulse, of now, at every half-life."""
    for h in range(HORIZONS):
        sums[q, h] += x


@inner
def add_aged(sums: Any, q: int, x: float, factors: Any) -> None:
    """Add an impulse that is older than the sums: `factors` are `f_aged` of the record."""
    a, b, c, d, e, f, g, h = factors[0], factors[1], factors[2], factors[3], factors[4], factors[5], factors[6], factors[7]
    sums[q, 0] += x * a
    sums[q, 1] += x * b
    sums[q, 2] += x * c
    sums[q, 3] += x * d
    sums[q, 4] += x * e
    sums[q, 5] += x * f
    sums[q, 6] += x * g
    sums[q, 7] += x * h


@inner
def hold(sums: Any, q: int, x: float, factors: Any) -> None:
    """Add a value that held for the whole step; divided by the cover of the same time it is a time-weighted mean."""
    for h in range(HORIZONS):
        sums[q, h] += x * (1.0 - factors[h])


@inner
def is_warm_book(s: Any, h: int) -> Any:
    """Tell whether sums since the last drop are warm at this half-life, at the time of the read."""
    return s.f_book_events >= WARM_EVENTS and s.f_known[COVER_BOOK, h] >= WARM_COVER[h]


@inner
def is_warm_kept(s: Any, h: int) -> Any:
    """Tell whether sums of the book that survive a drop are warm at this half-life, at the time of the read."""
    return s.f_book_events_kept >= WARM_EVENTS and s.f_known[COVER_KEPT, h] >= WARM_COVER[h]


@inner
def is_warm_trades(s: Any, h: int) -> Any:
    """Tell whether sums over trades are warm at this half-life, at the time of the read."""
    return s.f_trade_events >= WARM_EVENTS and s.f_known[COVER_TRADE, h] >= WARM_COVER[h]


@inner
def is_warm_orders(s: Any, h: int) -> Any:
    """Tell whether sums over aggressors' orders are warm at this half-life, at the time of the read."""
    return s.f_order_events >= WARM_EVENTS and s.f_known[COVER_TRADE, h] >= WARM_COVER[h]
