"""Bars of one and of ten seconds of exchange time: how the mid moved and what was traded in each, told to the groups when one has passed.

A bar is from one whole multiple of its length to the next, and counts when the mid was known at both its ends and the book was not dropped
in it. An event at the very end belongs to the next bar. The mid that held before the first end crossed is the mid at all ends crossed, so
the later bars saw no move and no trade: only their number counts, and the cost does not depend on how many they are.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner, int64
from smartmoney.core.features.basis import bps_base, decay, fill_factors
from smartmoney.core.features.horizons import HORIZONS, RATES, SECOND_NS, TEN_SECONDS_NS
from smartmoney.core.features.impact import bar_impact
from smartmoney.core.features.order_flow import ten_order_flow
from smartmoney.core.features.volatility import bar_volatility, ten_volatility

ONE = int64(0)
TEN = int64(1)
TEN_PAIRS = int64(2)
"""Rows of `f_bar_counts`: bars of one second, of ten, and successive pairs of the latter."""

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_grid_mid", "f8"),  # mid at the last whole second, in ticks; NaN unknown
    ("f_ten_mid", "f8"),  # and at the last whole ten seconds
    ("f_ten_return", "f8"),  # of the latest bar of ten seconds; NaN when it did not count
    ("f_bar_flow", "f8"),  # signed notional of the second in hand
    ("f_bar_volume", "f8"),  # notional of the second in hand
    ("f_bar_counts", "f8", (3, HORIZONS)),  # decayed numbers of bars
]


@inner
def cross_bars(s: Any, now_ns: int, ts_ns: int) -> None:
    """Close every bar that ends in (now, ts]. The decayed sums are at `ts_ns` already."""
    decay(s.f_bar_counts, s.f_keep)
    first = now_ns // SECOND_NS + 1
    count = ts_ns // SECOND_NS - first + 1
    if count <= 0:
        return
    _close_seconds(s, ts_ns, first, count)
    first = now_ns // TEN_SECONDS_NS + 1
    count = ts_ns // TEN_SECONDS_NS - first + 1
    if count > 0:
        _close_tens(s, ts_ns, first, count)
        ten_order_flow(s, first, count)


@inner
def _close_seconds(s: Any, ts_ns: int, first: int, count: int) -> None:
    mid = s.f_mid
    grid = s.f_grid_mid
    s.f_grid_mid = mid
    if not math.isnan(mid):
        if not math.isnan(grid):
            fill_factors(s.f_aged, ts_ns - first * SECOND_NS)
            for h in range(HORIZONS):
                s.f_bar_counts[ONE, h] += s.f_aged[h]
            r = (mid - grid) / bps_base(s, grid) * 1e4
            bar_volatility(s, r)
            bar_impact(s, r)
        _count_quiet(s, ONE, ts_ns - (first + count - 1) * SECOND_NS, count - 1, 1.0)
    s.f_bar_flow = 0.0
    s.f_bar_volume = 0.0


@inner
def _close_tens(s: Any, ts_ns: int, first: int, count: int) -> None:
    mid = s.f_mid
    grid = s.f_ten_mid
    s.f_ten_mid = mid
    # NaN of a mid that is not known makes the return unknown, and that the pair.
    r = (mid - grid) / bps_base(s, grid) * 1e4
    before = s.f_ten_return
    s.f_ten_return = r
    if not math.isnan(r):
        fill_factors(s.f_aged, ts_ns - first * TEN_SECONDS_NS)
        for h in range(HORIZONS):
            s.f_bar_counts[TEN, h] += s.f_aged[h]
            if not math.isnan(before):
                s.f_bar_counts[TEN_PAIRS, h] += s.f_aged[h]
        ten_volatility(s, r, before)
    if count > 1 and not math.isnan(mid):
        age_ns = ts_ns - (first + count - 1) * TEN_SECONDS_NS
        _count_quiet(s, TEN, age_ns, count - 1, 10.0)
        _count_quiet(s, TEN_PAIRS, age_ns, count - 2 if math.isnan(r) else count - 1, 10.0)
        s.f_ten_return = 0.0


@inner
def _count_quiet(s: Any, which: int, age_ns: int, count: int, seconds: float) -> None:
    """Count so many bars in a row, the last of which ended `age_ns` ago: a geometric sum."""
    if count <= 0:
        return
    age_s = age_ns * 1e-9
    for h in range(HORIZONS):
        rate = RATES[h]
        s.f_bar_counts[which, h] += math.exp(-rate * age_s) * math.expm1(-rate * seconds * count) / math.expm1(-rate * seconds)
