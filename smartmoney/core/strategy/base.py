"""The base of every strategy, the built-in one and a user's own.

A strategy sees an analyzer, the market and a portfolio view, and nothing else: no clock, no account, no orders. The engine binds these
before each decision. Its methods are coroutines for the sake of programs written that way; they must not wait.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from smartmoney.core.domain.signals import MarketData, RefusalCode, Signal
from smartmoney.core.strategy.analyzer import OrderFlowAnalyzer
from smartmoney.core.strategy.performance import Performance


class PortfolioView(msgspec.Struct, frozen=True, kw_only=True):
    """Show a strategy what it holds of the bound instrument: signed base quantity, and equity in quote (None while unknown)."""

    position: float = 0.0
    equity: float | None = None


class Declined(msgspec.Struct, frozen=True, kw_only=True):
    """Say why a strategy passed an opportunity by, in the words of the gates."""

    code: RefusalCode
    detail: str = ""
    value: float | None = None
    limit: float | None = None


class OrderFlowStrategy(ABC):
    """Decide on signals. Subclass it, name the class as `module:Class` in the configuration, and implement `generate_signals`.

    `symbol`, `timeframe`, `order_book`, `recent_trades`, `market_data`, `current_price` and `portfolio` are set before each decision.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        self.symbol: str = str(self.config.get("symbol", "BTC/USD"))
        self.timeframe: str = str(self.config.get("timeframe", "1m"))
        self.analyzer = OrderFlowAnalyzer(self.config)
        self.performance = Performance()
        self.order_book: Mapping[str, Any] = {"bids": [], "asks": []}
        self.recent_trades: Sequence[Mapping[str, Any]] = ()
        self.market_data: MarketData | None = None
        self.current_price: float = float("nan")
        self.portfolio = PortfolioView()
        self.declined: tuple[Declined, ...] = ()
        """Why the last `generate_signals` passed opportunities by; the desk reports the first."""
        self.announcement = ""
        """What `initialize` found that the operator should know."""

    def bind_market(
        self,
        market: MarketData,
        *,
        portfolio: PortfolioView | None = None,
        order_book: Mapping[str, Any] | None = None,
        recent_trades: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Show the strategy the market of this decision; the engine calls it. Without an `order_book` the touch is shown as one."""
        self.symbol = market.symbol
        self.market_data = market
        self.current_price = market.mid
        self.order_book = order_book or {"bids": [[market.bid, market.bid_quantity]], "asks": [[market.ask, market.ask_quantity]]}
        self.recent_trades = recent_trades
        self.portfolio = portfolio or PortfolioView()
        self.declined = ()

    def decline(self, code: RefusalCode, detail: str = "", value: float | None = None, limit: float | None = None) -> None:
        """Note why an opportunity was passed by, so that the refusal says so. At most 16 are kept per decision."""
        if len(self.declined) < 16:
            self.declined = (*self.declined, Declined(code=code, detail=detail, value=value, limit=limit))

    async def initialize(self) -> None:
        """Prepare for the first decision."""
        self.announcement = ""

    @abstractmethod
    async def generate_signals(self) -> list[Signal]:
        """Return the signals of this decision, an empty list for none."""

    async def on_signal_executed(self, signal: Signal, execution_result: Mapping[str, Any]) -> None:
        """Take note that a signal's order was filled; `execution_result` has `price` and `quantity`."""
        del signal, execution_result
        self.performance.record_executed()

    async def on_trade_closed(self, trade_result: Mapping[str, Any]) -> None:
        """Take note of a closed trade; `trade_result` has the net `profit` in quote. The analyzer is told too."""
        self.performance.record_closed(trade_result)
        await self.analyzer.update_performance(trade_result)

    def get_performance_summary(self) -> dict[str, Any]:
        """Return counters, averages and the recent regime distribution."""
        return self.performance.summary()
