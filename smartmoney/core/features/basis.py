"""Kernels that every group of features builds on: decay, prices in basis points, notionals, and whether a sum is warm at a read."""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.horizons import COVER_BOOK, COVER_KEPT, COVER_TRADE, COVERS, HORIZONS, RATES, WARM_COVER, WARM_EVENTS

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
    """Write 2^(-elapsed / half-life) of every half-life."""
    elapsed_s = elapsed_ns * 1e-9
    for h in range(HORIZONS):
        factors[h] = math.exp(-RATES[h] * elapsed_s)


@inner
def decay(sums: Any, factors: Any) -> None:
    """Multiply rows of decayed sums by a row of factors."""
    for q in range(sums.shape[0]):
        for h in range(HORIZONS):
            sums[q, h] *= factors[h]


@inner
def add(sums: Any, q: int, x: float) -> None:
    """Add an impulse, of now, at every half-life."""
    for h in range(HORIZONS):
        sums[q, h] += x


@inner
def add_aged(sums: Any, q: int, x: float, factors: Any) -> None:
    """Add an impulse that is older than the sums: `factors` are `f_aged` of the record."""
    for h in range(HORIZONS):
        sums[q, h] += x * factors[h]


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
