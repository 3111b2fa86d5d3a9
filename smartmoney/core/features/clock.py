"""The kernel that moves a record's features through exchange time.

Invariants: time never goes back (an earlier stamp counts as now); a value that held during an interval is what the interval contributes,
so nothing here reads the book, which may already have changed; the cost does not depend on how far time moves.
"""

from typing import Any

from smartmoney.core.book.typed import inlined, inner
from smartmoney.core.features.bars import cross_bars
from smartmoney.core.features.basis import decay, fill_factors
from smartmoney.core.features.book_changes import step_book_changes
from smartmoney.core.features.horizons import COVER_BOOK, COVER_KEPT, COVER_TRADE, HORIZONS, MERGE_NS
from smartmoney.core.features.icebergs import step_icebergs
from smartmoney.core.features.impact import step_impact
from smartmoney.core.features.large_trades import step_large_trades
from smartmoney.core.features.liquidity import step_liquidity
from smartmoney.core.features.order_flow import step_order_flow
from smartmoney.core.features.orders import close_order
from smartmoney.core.features.resilience import step_resilience
from smartmoney.core.features.trade_flow import step_trade_flow
from smartmoney.core.features.volatility import step_volatility
from smartmoney.core.features.walls import step_walls


@inlined
def _grow_covers(s: Any) -> None:
    decay(s.f_cover, s.f_keep)
    for h in range(HORIZONS):
        grown = 1.0 - s.f_keep[h]
        if s.f_valid != 0:
            s.f_cover[COVER_BOOK, h] += grown
            s.f_cover[COVER_KEPT, h] += grown
        if s.f_blind == 0:
            s.f_cover[COVER_TRADE, h] += grown


@inner
def advance(s: Any, ts_ns: int) -> Any:
    """Move a record's features to a time and return it; a time before the latest counts as the latest."""
    now_ns = s.f_now_ns
    if now_ns == 0:
        s.f_now_ns = max(ts_ns, 1)
        s.f_blind = 0
        return s.f_now_ns
    ts_ns = max(ts_ns, now_ns)
    if s.f_order_sign != 0 and ts_ns - s.f_order_ns > MERGE_NS:
        close_order(s)
    if ts_ns > now_ns:
        fill_factors(s.f_keep, ts_ns - now_ns)
        _grow_covers(s)
        step_order_flow(s)
        step_trade_flow(s)
        step_large_trades(s)
        step_book_changes(s)
        step_volatility(s)
        step_liquidity(s)
        step_icebergs(s)
        step_walls(s)
        step_impact(s)
        step_resilience(s)
        cross_bars(s, now_ns, ts_ns)
        s.f_now_ns = ts_ns
    s.f_blind = 0
    return ts_ns
