"""The read: one record to one row of features, without changing what it remembers. Not warm is NaN."""

import math
from typing import Any

from smartmoney.core.book.typed import entry, inlined
from smartmoney.core.features import (
    arrivals,
    book_changes,
    clocks,
    icebergs,
    imbalance,
    impact,
    large_trades,
    liquidity,
    microprice,
    order_flow,
    refills,
    resilience,
    splitting,
    top,
    trade_flow,
    volatility,
    vpin,
    walls,
)
from smartmoney.core.features.arrivals import read_arrivals
from smartmoney.core.features.basis import fill_factors
from smartmoney.core.features.book_changes import read_book_changes
from smartmoney.core.features.clocks import read_clocks
from smartmoney.core.features.horizons import COVER_BOOK, COVER_KEPT, COVER_TRADE, COVERS, HORIZONS
from smartmoney.core.features.icebergs import read_icebergs
from smartmoney.core.features.imbalance import read_imbalance
from smartmoney.core.features.impact import read_impact
from smartmoney.core.features.large_trades import read_large_trades
from smartmoney.core.features.liquidity import read_liquidity
from smartmoney.core.features.microprice import read_microprice
from smartmoney.core.features.order_flow import read_order_flow
from smartmoney.core.features.refills import read_refills
from smartmoney.core.features.resilience import read_resilience
from smartmoney.core.features.splitting import read_splitting
from smartmoney.core.features.top import read_top
from smartmoney.core.features.trade_flow import read_trade_flow
from smartmoney.core.features.volatility import read_volatility
from smartmoney.core.features.vpin import read_vpin
from smartmoney.core.features.walls import read_walls

GROUPS = (
    top,
    microprice,
    imbalance,
    order_flow,
    trade_flow,
    large_trades,
    arrivals,
    splitting,
    book_changes,
    icebergs,
    walls,
    volatility,
    impact,
    vpin,
    liquidity,
    resilience,
    clocks,
    refills,
)
"""Modules in the order of a row; each writes its `COUNT` columns."""
_ENDS = tuple(sum(group.COUNT for group in GROUPS[: k + 1]) for k in range(len(GROUPS)))
_A0, (_A1, _A2, _A3, _A4, _A5, _A6, _A7, _A8, _A9, _A10, _A11, _A12, _A13, _A14, _A15, _A16, _A17, _A18) = 0, _ENDS
COLUMNS = _ENDS[-1]
"""Width of a row."""


@inlined
def _prepare(s: Any, ts_event_ns: int) -> None:
    """Write what the groups read by: the time, decay factors since the latest event, covers as of the time of the read."""
    s.f_read_ns = max(ts_event_ns, s.last_event_ns, s.f_now_ns)
    fill_factors(s.f_keep, s.f_read_ns - s.f_now_ns)
    for h in range(HORIZONS):
        keep = s.f_keep[h]
        for k in range(COVERS):
            s.f_known[k, h] = s.f_cover[k, h] * keep
        # The time since the latest event is known when it began with a valid top, or with nothing missed.
        if s.f_valid != 0:
            s.f_known[COVER_BOOK, h] += 1.0 - keep
            s.f_known[COVER_KEPT, h] += 1.0 - keep
        if s.f_blind == 0:
            s.f_known[COVER_TRADE, h] += 1.0 - keep


@inlined
def read_features(s: Any, ts_event_ns: int, out: Any) -> None:
    """Write one row (schema order, float64), decayed to a time, at least the latest event's; NaN where not warm. Changes scratch only."""
    for k in range(COLUMNS):
        out[k] = math.nan
    if s.f_now_ns == 0:
        return
    _prepare(s, ts_event_ns)
    # A venue's frame without a time changes the book and not the clock: the top is looked at again.
    has_top = s.f_valid != 0 and 0 < s.best_bid_tick < s.best_ask_tick
    if has_top:
        read_top(s, out[_A0:_A1])
    read_microprice(s, out[_A1:_A2], has_top)
    read_imbalance(s, out[_A2:_A3])
    read_order_flow(s, out[_A3:_A4])
    read_trade_flow(s, out[_A4:_A5])
    read_large_trades(s, out[_A5:_A6])
    read_arrivals(s, out[_A6:_A7])
    read_splitting(s, out[_A7:_A8])
    read_book_changes(s, out[_A8:_A9])
    read_icebergs(s, out[_A9:_A10])
    read_walls(s, out[_A10:_A11])
    read_volatility(s, out[_A11:_A12])
    read_impact(s, out[_A12:_A13])
    read_vpin(s, out[_A13:_A14])
    read_liquidity(s, out[_A14:_A15], has_top)
    read_resilience(s, out[_A15:_A16])
    read_clocks(s, out[_A16:_A17])
    read_refills(s, out[_A17:_A18])


@entry
def read_row(states: Any, index: int, ts_event_ns: int, out: Any) -> None:
    """Do `read_features` for one record of an array; from Python much cheaper than to box the record first. Time 0: the latest event's."""
    read_features(states[index], ts_event_ns, out)
