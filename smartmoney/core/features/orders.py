"""The aggressor's order in hand: public trades that one order caused are joined before any statistic of signs, sizes or times.

An order is trades of one side whose price never improves for it and that follow each other within 10 ms. It is closed, and told to the
groups, once no trade can follow: at the first event more than 10 ms after its last trade, or at a trade that cannot belong to it. It counts
at the time of its last trade; `f_aged` then holds the decay from there to the time at which the sums stand.
"""

from typing import Any

from smartmoney.core.book.typed import inlined, inner
from smartmoney.core.features.arrivals import order_arrivals
from smartmoney.core.features.basis import fill_factors
from smartmoney.core.features.clocks import order_clocks
from smartmoney.core.features.horizons import MERGE_NS
from smartmoney.core.features.impact import order_impact
from smartmoney.core.features.large_trades import order_large_trades
from smartmoney.core.features.splitting import order_splitting
from smartmoney.core.features.trade_flow import order_trade_flow

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_order_events", "i8"),  # orders closed
    ("f_order_sign", "i8"),  # 0: none in hand
    ("f_order_first_tick", "i8"),
    ("f_order_tick", "i8"),  # of its latest trade
    ("f_order_prices", "i8"),  # different prices that it traded at
    ("f_order_fills", "i8"),
    ("f_order_lots", "i8"),
    ("f_order_notional", "f8"),
    ("f_order_start_ns", "i8"),
    ("f_order_ns", "i8"),  # of its latest trade
    ("f_order_epoch", "i8"),  # `f_epoch` at its first trade
]


@inner
def close_order(s: Any) -> None:
    """Tell the groups of the order in hand and forget it. The sums stand at `f_now_ns`."""
    s.f_order_events += 1
    fill_factors(s.f_aged, s.f_now_ns - s.f_order_ns)
    order_large_trades(s)
    order_trade_flow(s)
    order_impact(s)
    order_arrivals(s)
    order_splitting(s)
    order_clocks(s)
    s.f_order_sign = 0


@inlined
def join_order(s: Any, now_ns: int, tick: int, lots: int, sign: int, value: float) -> None:
    """Join a public trade to the order in hand, or close that one and begin another."""
    # `advance` has closed an order whose last trade is too old.
    if s.f_order_sign == sign and (tick - s.f_order_tick) * sign >= 0 and now_ns - s.f_order_ns <= MERGE_NS:
        s.f_order_notional += value
        s.f_order_lots += lots
        s.f_order_fills += 1
        if tick != s.f_order_tick:
            s.f_order_prices += 1
    else:
        if s.f_order_sign != 0:
            close_order(s)
        s.f_order_sign = sign
        s.f_order_notional = value
        s.f_order_lots = lots
        s.f_order_fills = 1
        s.f_order_prices = 1
        s.f_order_first_tick = tick
        s.f_order_start_ns = now_ns
        s.f_order_epoch = s.f_epoch
    s.f_order_tick = tick
    s.f_order_ns = now_ns
