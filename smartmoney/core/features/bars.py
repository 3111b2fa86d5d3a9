"""Bars of one second of exchange time: how the mid moved and what was traded in each, told to the groups when a second has passed.

A bar counts when the mid was known at both its ends. The mid that held before the first whole second crossed is the mid at all of them, so
the later ones saw no move and no trade: only their number counts, and the cost does not depend on how many they are.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.basis import bps_base, fill_factors
from smartmoney.core.features.horizons import HORIZONS, RATES, SECOND_NS
from smartmoney.core.features.impact import bar_impact
from smartmoney.core.features.volatility import bar_volatility

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_grid_mid", "f8"),  # mid at the last whole second, in ticks; NaN unknown
    ("f_bar_flow", "f8"),  # signed notional of the second in hand
    ("f_bar_volume", "f8"),  # notional of the second in hand
    ("f_bar_counts", "f8", (HORIZONS,)),  # decayed number of bars
]


@inner
def cross_seconds(s: Any, now_ns: int, ts_ns: int) -> None:
    """Close every second that ends in (now, ts]. The decayed sums are at `ts_ns` already."""
    for h in range(HORIZONS):
        s.f_bar_counts[h] *= s.f_keep[h]
    first = now_ns // SECOND_NS + 1
    count = ts_ns // SECOND_NS - first + 1
    if count <= 0:
        return
    mid = s.f_mid
    grid = s.f_grid_mid
    s.f_grid_mid = mid
    if not math.isnan(mid):
        if not math.isnan(grid):
            r = (mid - grid) / bps_base(s, grid) * 1e4
            fill_factors(s.f_aged, ts_ns - first * SECOND_NS)
            for h in range(HORIZONS):
                s.f_bar_counts[h] += s.f_aged[h]
            bar_volatility(s, r)
            bar_impact(s, r)
        if count > 1:
            _count_quiet(s, ts_ns, first, count)
    s.f_bar_flow = 0.0
    s.f_bar_volume = 0.0


@inner
def _count_quiet(s: Any, ts_ns: int, first: int, count: int) -> None:
    """Count the seconds after the first: a geometric sum."""
    age_s = (ts_ns - (first + count - 1) * SECOND_NS) * 1e-9
    for h in range(HORIZONS):
        rate = RATES[h]
        s.f_bar_counts[h] += math.exp(-rate * age_s) * math.expm1(-rate * (count - 1)) / math.expm1(-rate)
